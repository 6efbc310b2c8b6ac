/**
 * A throw-away container that goes the whole path once, so that the first real one finds everything warm.
 *
 * It is a container like any other, with storage, disk, guest and exit; only nobody asked for it.
 */

import { filter, firstValueFrom, timeout } from "rxjs";
import type { Deadlines } from "../../contracts/deadlines.ts";
import { capabilityMask } from "../../protocol/guest/capabilities.ts";
import { ContainerRuntime, ProcessRecord } from "../container/container.actor.ts";
import type { GuestLink } from "../guest/link.ts";
import { prepareChild } from "../guest/spare-child.ts";
import type { Host, TranslatedContainer } from "../host.ts";
import type { SandboxRuntime } from "../sandbox/sandbox.actor.ts";

/** Any number that no task has. */
const PID = 1;
const EXIT_MS = 30_000;

/** Both ways that pods have with PIDs. The second round also meets what only a second container does. */
const ROUNDS = ["container", "sandbox"] as const;

/** Runs `/bin/true` of `root` in the VM and removes every trace. Throws what a container's creation throws. */
export async function rehearse(runtime: SandboxRuntime, root: string, signal: AbortSignal): Promise<void> {
  for (const pidNamespace of ROUNDS) {
    await prepareChild(runtime.liveGuest, runtime.host, signal);
    await rehearseOnce(runtime, root, { ...SPEC, create: { ...SPEC.create, pidNamespace } }, signal);
  }
}

async function rehearseOnce(
  runtime: SandboxRuntime,
  root: string,
  spec: TranslatedContainer,
  signal: AbortSignal,
): Promise<void> {
  const { events$ } = runtime.liveGuest;
  const id = `${runtime.id}-rehearsal`;
  const exit = firstValueFrom(
    events$.pipe(
      filter((event) => event.type === "lost" || event.exit.id === id),
      timeout(EXIT_MS),
    ),
  );
  exit.catch(() => undefined);
  const nothing = () => undefined;
  const init = new ProcessRecord("", PID, { stdin: "", stdout: "", stderr: "" }, false, undefined);
  const container = new ContainerRuntime(runtime, request(id, root), spec, "", init, {
    started: nothing,
    exited: nothing,
  });
  try {
    await container.create(signal);
    await container.start("", signal);
    await exit;
  } finally {
    await container.remove(signal);
  }
}

function request(id: string, root: string) {
  return {
    id,
    bundle: "",
    rootfs: [{ type: "bind", source: root, target: "", options: ["rbind", "ro"] }],
    stdin: "",
    stdout: "",
    stderr: "",
    terminal: false,
  };
}

const CAPABILITIES = capabilityMask([
  ...["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID"],
  ...["CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL"],
  "CAP_AUDIT_WRITE",
]);

/**
 * Runs a container of the guest's own small root, for a template: no share, no disk, but all that the kernel makes at the
 * first use of an overlay, of namespaces, of cgroups and of a container's filesystems.
 */
export async function rehearseInTemplate(
  guest: GuestLink,
  host: Pick<Host, "logger"> & { readonly deadlines: Pick<Deadlines, "guestRequest"> },
  signal: AbortSignal,
): Promise<void> {
  const id = "template-rehearsal";
  const deadlineMs = host.deadlines.guestRequest;
  const limits = { deadlineMs, signal };
  for (const pidNamespace of ROUNDS) {
    await prepareChild(guest, host, signal);
    const rootfs = { kind: "builtin", path: "", diskSerial: "", filesystem: "", readonly: false } as const;
    const process = { ...SPEC.create.process, args: ["/bin/busybox", "true"] };
    const exit = firstValueFrom(
      guest.events$.pipe(
        filter((event) => event.type === "lost" || event.exit.id === `${id}-${pidNamespace}`),
        timeout(deadlineMs),
      ),
    );
    exit.catch(() => undefined);
    const stdio = { stdin: 0, stdout: 0, stderr: 0 };
    const create = {
      ...SPEC.create,
      process,
      pidNamespace,
      id: `${id}-${pidNamespace}`,
      rootfs,
      stdio,
      pidTarget: "",
    };
    await guest.request("container.create", create, limits);
    await guest.request("process.start", { id: create.id, execId: "" }, limits);
    await exit;
    await guest.request("container.delete", { id: create.id }, limits);
  }
}

/** What CRI asks for in every container: the mounts and paths that a rehearsal has to have walked. */
const SPEC: TranslatedContainer = {
  create: {
    process: {
      args: ["/bin/true"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=rehearsal"],
      cwd: "/",
      terminal: false,
      rows: 0,
      columns: 0,
      uid: 0,
      gid: 0,
      additionalGids: [],
      umask: undefined,
      noNewPrivileges: true,
      capabilities: {
        bounding: CAPABILITIES,
        effective: CAPABILITIES,
        permitted: CAPABILITIES,
        inheritable: 0,
        ambient: 0,
      },
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 1024, hard: 1024 }],
      oomScoreAdj: 0,
    },
    mounts: [
      { type: "proc", source: "proc", destination: "/proc", options: ["nosuid", "noexec", "nodev"] },
      {
        type: "tmpfs",
        source: "tmpfs",
        destination: "/dev",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
      },
      {
        type: "devpts",
        source: "devpts",
        destination: "/dev/pts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
      },
      {
        type: "tmpfs",
        source: "shm",
        destination: "/dev/shm",
        options: ["nosuid", "noexec", "nodev", "mode=1777"],
      },
      {
        type: "mqueue",
        source: "mqueue",
        destination: "/dev/mqueue",
        options: ["nosuid", "noexec", "nodev"],
      },
      { type: "sysfs", source: "sysfs", destination: "/sys", options: ["nosuid", "noexec", "nodev", "ro"] },
      {
        type: "cgroup",
        source: "cgroup",
        destination: "/sys/fs/cgroup",
        options: ["nosuid", "noexec", "nodev", "relatime", "ro"],
      },
    ],
    pidNamespace: "container",
    maskedPaths: [
      ...[
        "/proc/asound",
        "/proc/acpi",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
      ],
      ...[
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
        "/proc/scsi",
      ],
    ],
    readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    sysctl: {},
    cgroup: { "cpu.weight": "100" },
  },
  rootReadonly: false,
  pidTarget: undefined,
  warnings: [],
};
