#!/bin/sh
# Removes what the tarball has installed: ends all pods first, and stops if one does not end. With --purge state and
# configuration go, too.
set -eu

# What is mounted below is a pod's volume: files of the host, which may be on the same file system, so that rm would go on into them.
remove_tree() {
    if grep -qE "^([^ ]+ ){4}$1/" /proc/self/mountinfo; then
        echo "blazar: $1 stays, because volumes of pods are mounted below it (findmnt): unmount them, then remove it" >&2
    else
        rm -rf --one-file-system "$1"
    fi
}

if systemctl --quiet is-active blazar-keeper.service; then
    systemctl start blazar.service
    blazar drain
fi
systemctl disable --quiet --now blazar.service blazar-keeper.service
rm -f /etc/containerd/conf.d/blazar.toml
remove_tree /run/blazar
if [ "${1:-}" = --purge ]; then
    remove_tree /var/lib/blazar
    remove_tree /var/cache/blazar
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
