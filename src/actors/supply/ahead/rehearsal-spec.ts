/**
 * The container of a rehearsal: what CRI asks for in every container, so that its mounts and paths have been walked once.
 */
import type { TranslatedContainer } from "../../../backends/backend.ts";
import { capabilityMask } from "../../../protocol/guest/capabilities.ts";
import { ALWAYS_ALLOWED, deviceProgram } from "../../../protocol/guest/device-program.ts";

const CAPABILITIES = capabilityMask([
  ...["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID"],
  ...["CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL"],
  "CAP_AUDIT_WRITE",
]);

/** Everything but its PID namespace, which differs from round to round. */
export const REHEARSAL_SPEC: TranslatedContainer = {
  create: {
    userNamespace: undefined,
    idmappedLayers: false,
    ownNamespaces: [],
    hostname: "",
    domainname: "",
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
    layerBytes: undefined,
    devices: [],
    // the guest keeps the loaded program, and most containers have the same
    deviceProgram: Buffer.from(deviceProgram(ALWAYS_ALLOWED)).toString("base64"),
  },
  seccomp: undefined,
  volumes: [],
  rootReadonly: false,
  pidTarget: undefined,
  warnings: [],
  notices: [],
};
