#!/bin/sh
# Makes a node of what the tarball has put below /: units, containerd's drop-in. Also the upgrade: pods run on.
#
#   tar -xzf blazar_VERSION_amd64.tar.gz -C / && /usr/lib/blazar/install.sh [--containerd]
#
# With --containerd it does what is left by itself: the import in containerd's configuration, and a restart of containerd.
set -eu

CONFIG=/etc/containerd/config.toml

for program in node qemu-system-x86_64 systemctl; do
    if ! command -v "$program" >/dev/null; then
        echo "blazar: there is no $program on this node: install nodejs (20 or later) and qemu-system-x86" >&2
        exit 1
    fi
done
if [ ! -x /usr/bin/node ]; then
    echo "blazar: the unit runs /usr/bin/node, which is not there: link it to $(command -v node)" >&2
    exit 1
fi

# a file that was there before is the administrator's
[ -e /etc/blazar/blazar.toml ] || cp /etc/blazar/blazar.toml.dist /etc/blazar/blazar.toml
blazar install
systemctl daemon-reload
systemctl enable --quiet --now blazar-keeper.service
systemctl enable --quiet blazar.service
systemctl restart blazar.service

if [ "${1:-}" = --containerd ]; then
    before=$(cksum "$CONFIG" 2>/dev/null || true)
    if ! grep -qs '^[[:space:]]*imports' "$CONFIG"; then
        mkdir -p "${CONFIG%/*}"
        line='imports = ["/etc/containerd/conf.d/*.toml"]'
        if [ -s "$CONFIG" ]; then sed -i "1i $line" "$CONFIG"; else printf 'version = 3\n%s\n' "$line" > "$CONFIG"; fi
    fi
    # containerd's pods run through its restart, but only what is new is worth one
    if [ "$before" != "$(cksum "$CONFIG")" ] || [ "$CONFIG" -nt /run/containerd/containerd.sock ] ||
        [ /etc/containerd/conf.d/blazar.toml -nt /run/containerd/containerd.sock ]; then
        systemctl restart containerd.service
    fi
fi
