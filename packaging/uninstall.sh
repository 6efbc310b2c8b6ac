#!/bin/sh
# Removes what the tarball has installed: ends all pods first, and stops if one does not end. With --purge state and
# configuration go, too.
set -eu

if systemctl --quiet is-active blazar-keeper.service; then
    systemctl start blazar.service
    blazar drain
fi
systemctl disable --quiet --now blazar.service blazar-keeper.service
rm -f /etc/containerd/conf.d/blazar.toml
rm -rf --one-file-system /run/blazar
if [ "${1:-}" = --purge ]; then
    rm -rf --one-file-system /var/lib/blazar /var/cache/blazar
    rm -f /etc/blazar/blazar.toml
fi

# the list is of files, the deepest first; a directory goes if nothing else is in it
while read -r path; do
    rm -f "/$path"
    directory=${path%/*}
    while [ "$directory" != "${directory%/*}" ] && rmdir "/$directory" 2>/dev/null; do directory=${directory%/*}; done
done < /usr/lib/blazar/files
systemctl daemon-reload
echo "blazar: removed; containerd forgets it with: systemctl restart containerd"
