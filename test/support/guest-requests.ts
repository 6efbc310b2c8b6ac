/** Requests to a guest, with the parameters filled in that a test does not care about. */
import type { ContainerCreate, GuestProcess, SandboxSetup } from "../../src/protocol/guest/messages.ts";

/** A process that runs as root, without limits of its own. */
export function guestProcess(args: readonly string[], more: Partial<GuestProcess> = {}): GuestProcess {
  return {
    args: [...args],
    env: ["PATH=/bin:/sbin:/usr/bin:/usr/sbin"],
    cwd: "/",
    terminal: false,
    rows: 0,
    columns: 0,
    uid: 0,
    gid: 0,
    additionalGids: [],
    umask: undefined,
    noNewPrivileges: false,
    capabilities: undefined,
    rlimits: [],
    oomScoreAdj: undefined,
    ...more,
  };
}

/** A container over the image's built-in root, its writable layer in memory. */
export function containerCreate(
  id: string,
  args: readonly string[],
  more: Partial<ContainerCreate> = {},
): ContainerCreate {
  return {
    id,
    rootfs: { kind: "builtin", path: "", imageSerials: [], diskSerial: "", filesystem: "", readonly: false },
    process: guestProcess(args),
    stdio: { stdin: 0, stdout: 0, stderr: 0 },
    mounts: [
      { type: "proc", source: "proc", destination: "/proc", options: ["nosuid", "noexec", "nodev"] },
      { type: "tmpfs", source: "tmpfs", destination: "/dev", options: ["nosuid", "mode=755"] },
    ],
    pidNamespace: "container",
    pidTarget: "",
    maskedPaths: [],
    readonlyPaths: [],
    sysctl: {},
    cgroup: {},
    layerBytes: undefined,
    devices: [],
    deviceProgram: "",
    seccomp: undefined,
    drainMs: 2_000,
    returned: [],
    userNamespace: undefined,
    idmappedLayers: false,
    ownNamespaces: [],
    hostname: "",
    domainname: "",
    ...more,
  };
}

/** The set-up of a sandbox. */
export function sandboxSetup(more: Partial<SandboxSetup> = {}): SandboxSetup {
  return {
    sandboxId: "sandbox",
    hostname: "guest",
    hosts: "127.0.0.1 localhost\n",
    resolvConf: "",
    now: Date.now(),
    entropy: "00".repeat(32),
    sharedPidNamespace: false,
    shmBytes: 1024 * 1024,
    userNamespace: undefined,
    network: undefined,
    sysctls: {},
    limits: undefined,
    ...more,
  };
}
