/**
 * An OCI spec that containerd's CRI begins with, for what CRI itself has no field for: a terminal's size from the beginning,
 * limits of processes, a umask, mounts with options of their own. The handlers `runc-spec` and `blazar-spec` have it.
 */
import { writeFile } from "node:fs/promises";
import { blazarHandler, runcHandler } from "../node/containerd-config.ts";

const CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID", "NET_BIND_SERVICE"];
const NAMESPACES = ["pid", "ipc", "uts", "mount", "network"];

const named = (names: readonly string[]) => names.map((name) => `CAP_${name}`);
const usual = ["nosuid", "noexec", "nodev"];

const SPEC = {
  ociVersion: "1.0.2",
  process: {
    cwd: "/",
    user: { uid: 0, gid: 0, umask: 0o27 },
    consoleSize: { height: 33, width: 77 },
    capabilities: {
      bounding: named(CAPABILITIES),
      permitted: named(CAPABILITIES),
      effective: named(CAPABILITIES),
      inheritable: named(["KILL"]),
      ambient: named(["KILL"]),
    },
    rlimits: [
      { type: "RLIMIT_NOFILE", soft: 555, hard: 777 },
      { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      { type: "RLIMIT_STACK", soft: 2 ** 20, hard: 2 ** 30 },
    ],
    oomScoreAdj: 77,
  },
  root: { path: "rootfs" },
  mounts: [
    { destination: "/proc", type: "proc", source: "proc", options: usual },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=65536k"] },
    {
      ...{ destination: "/dev/pts", type: "devpts", source: "devpts" },
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...usual, "ro"] },
    {
      ...{ destination: "/run/small", type: "tmpfs", source: "tmpfs" },
      options: ["nosuid", "noexec", "size=76k", "nr_inodes=9", "mode=1750", "uid=5", "gid=6"],
    },
  ],
  linux: {
    namespaces: NAMESPACES.map((type) => ({ type })),
    resources: { devices: [{ allow: false, access: "rwm" }], pids: { limit: 30 } },
    maskedPaths: ["/proc/timer_list"],
    readonlyPaths: ["/proc/sys"],
  },
};

/** Writes the spec; returns the tables of the two handlers. */
export async function baseSpecHandlers(file: string, shimDirectory: string) {
  await writeFile(file, JSON.stringify(SPEC));
  const begins = `    base_runtime_spec = '${file}'\n`;
  return (containerdDirectory: string): string =>
    blazarHandler("blazar-spec", shimDirectory, begins) +
    runcHandler("runc-spec", containerdDirectory, begins);
}
