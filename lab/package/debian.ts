/**
 * The Debian that the package is tried on: version 13 with systemd, Node and QEMU, and no containerd.
 *
 * containerd 2.1 is forky's, as docs/install.md has it. It is not installed but lies in apt's archives, because an emulated host
 * has no network. Node and QEMU are installed: under emulation apt would take minutes for them.
 */
import { BARE_SYSTEM, type DebianRecipe } from "../emulated-host/debian-image.ts";

const FORKY = "http://deb.debian.org/debian forky main";

export const DEBIAN_13: DebianRecipe = {
  suite: "trixie",
  packages: [...BARE_SYSTEM, "ca-certificates", "nodejs", "qemu-system-x86"],
  ownNode: true,
  last: [
    // the very lines of docs/install.md: apt knows its lists by the address
    `echo 'deb ${FORKY}' > /etc/apt/sources.list.d/forky.list`,
    "printf 'Package: *\\nPin: release n=forky\\nPin-Priority: 100\\n' > /etc/apt/preferences.d/forky",
    "apt-get update",
    "apt-get install -y --no-install-recommends --download-only containerd/forky containernetworking-plugins",
    "rm /etc/apt/sources.list.d/forky.list /etc/apt/preferences.d/forky",
  ],
};
