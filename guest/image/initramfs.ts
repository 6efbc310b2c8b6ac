/**
 * Lists the files of the guest's initramfs: the agent as /init, the kernel modules with their load order, and the small
 * built-in root file system that `blazar run` uses by default.
 *
 * /modules/order has one file name a line; /rootfs has busybox and its applets. The kernel's /sbin/modprobe is busybox,
 * for the modules on demand, which it unpacks. Must stay a pure function of its inputs, because the cache's key is made from them.
 */
import { gzipSync } from "node:zlib";
import type { CpioEntry } from "./cpio.ts";
import { withoutSignature } from "./module-signature.ts";
import type { ModuleTables } from "./modules.ts";

/** What goes into the image. */
export interface InitramfsInput {
  /** The agent's static binary. */
  readonly agent: Uint8Array;
  /** Modules in load order. */
  readonly modules: readonly ModuleFile[];
  /** Modules that the kernel asks for, in any order, and modprobe's tables of them. */
  readonly onDemand: ModulesOnDemand;
  /** A static busybox. */
  readonly busybox: Uint8Array;
  /** The applets' paths, as `busybox --list-full` prints them: `bin/ls`. */
  readonly applets: readonly string[];
}

export interface ModulesOnDemand {
  /** The kernel's, as uname(2) tells it. */
  readonly release: string;
  readonly modules: readonly ModuleFile[];
  readonly tables: ModuleTables;
}

interface ModuleFile {
  readonly name: string;
  readonly data: Uint8Array;
}

const MOST_COMPRESSION = 9;

const GUEST_DIRECTORIES = ["dev", "etc", "mnt", "modules", "proc", "root", "run", "sys", "tmp"];

const ROOTFS_DIRECTORIES = [
  "bin",
  "dev",
  "etc",
  "home",
  "mnt",
  "proc",
  "root",
  "run",
  "sbin",
  "sys",
  "tmp",
].concat(["usr", "usr/bin", "usr/sbin", "var", "var/tmp"]);

const ROOTFS_FILES: Readonly<Record<string, string>> = {
  "etc/passwd":
    "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n",
  "etc/group": "root:x:0:\ndaemon:x:1:\ntty:x:5:\nnogroup:x:65534:\n",
  "etc/hostname": "blazar\n",
  "etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
  "etc/os-release": 'ID=blazar\nNAME="Blazar built-in root"\nPRETTY_NAME="Blazar built-in root (busybox)"\n',
};

/** Directories anyone may write to, with the sticky bit. */
const STICKY = new Set(["tmp", "var/tmp"]);

/** The image's members in unpacking order. */
export function initramfsEntries(input: InitramfsInput): CpioEntry[] {
  return [...guestEntries(input), ...rootfsEntries(input)];
}

function guestEntries(input: InitramfsInput): CpioEntry[] {
  const order = input.modules.map((module) => `${module.name}\n`).join("");
  return [
    ...GUEST_DIRECTORIES.map((name) => directory(name, name)),
    // the kernel opens the console for /init before a devtmpfs can be mounted
    { type: "characterDevice", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
    { type: "characterDevice", path: "dev/null", mode: 0o666, major: 1, minor: 3 },
    { type: "file", path: "init", mode: 0o755, data: input.agent },
    // for processes in the guest itself: applets of the built-in root are links to /bin/busybox
    { type: "symlink", path: "bin", target: "rootfs/bin" },
    { type: "file", path: "modules/order", mode: 0o644, data: Buffer.from(order) },
    ...input.modules.map(({ name, data }) => fileEntry("modules", { name, data: withoutSignature(data) })),
    ...onDemandEntries(input.onDemand),
  ];
}

/** Where the kernel and modprobe look by themselves. */
function onDemandEntries({ release, modules, tables }: ModulesOnDemand): CpioEntry[] {
  const tree = `lib/modules/${release}`;
  const table = (name: string, text: string): CpioEntry => ({
    type: "file",
    path: `${tree}/${name}`,
    mode: 0o644,
    data: Buffer.from(text),
  });
  return [
    ...["lib", "lib/modules", tree, "sbin"].map((path) => directory(path, path)),
    { type: "symlink", path: "sbin/modprobe", target: "/rootfs/bin/busybox" },
    // compressed: most guests never load one, and their memory holds all of them
    table("modules.dep", tables.dependencies.replaceAll(/\.ko\b/g, ".ko.gz")),
    table("modules.alias", tables.aliases),
    ...modules.map(({ name, data }) => {
      const packed = {
        name: `${name}.gz`,
        data: gzipSync(withoutSignature(data), { level: MOST_COMPRESSION }),
      };
      return fileEntry(tree, packed);
    }),
  ];
}

function fileEntry(place: string, { name, data }: ModuleFile): CpioEntry {
  return { type: "file", path: `${place}/${name}`, mode: 0o644, data };
}

function rootfsEntries(input: InitramfsInput): CpioEntry[] {
  const places = new Set(ROOTFS_DIRECTORIES);
  const applets = input.applets.filter(
    (applet) => applet !== "bin/busybox" && places.has(applet.slice(0, applet.lastIndexOf("/"))),
  );
  return [
    directory("rootfs", ""),
    ...ROOTFS_DIRECTORIES.map((name) => directory(`rootfs/${name}`, name)),
    ...Object.entries(ROOTFS_FILES).map(
      ([name, text]): CpioEntry => ({
        type: "file",
        path: `rootfs/${name}`,
        mode: 0o644,
        data: Buffer.from(text),
      }),
    ),
    { type: "file", path: "rootfs/bin/busybox", mode: 0o755, data: input.busybox },
    ...applets.map(
      (applet): CpioEntry => ({ type: "symlink", path: `rootfs/${applet}`, target: "/bin/busybox" }),
    ),
  ];
}

function directory(path: string, role: string): CpioEntry {
  const mode = STICKY.has(role) ? 0o1777 : role === "root" ? 0o700 : 0o755;
  return { type: "directory", path, mode };
}
