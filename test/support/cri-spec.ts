/**
 * A config.json as containerd's CRI writes it for an ordinary container in a remote sandboxer's pod.
 *
 * Fields, order of mounts and defaults are as in containerd 2.1 on a cgroup v1 host; the values are made up.
 */

/** The pid that Controller.Status told containerd. */
export const SANDBOX_PID = 4242;

/** Where containerd has files of a pod, whether it has made them or not. */
export const SANDBOX_FILES = "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/5e1f";

const CAPABILITIES = [
  ...["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID"],
  ...["CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL"],
  "CAP_AUDIT_WRITE",
];

/** A fresh copy each time; tests change it as they like. */
export function criSpec() {
  return {
    ociVersion: "1.2.1",
    process: {
      user: { uid: 1000, gid: 1000, additionalGids: [1000, 2000] },
      args: ["/bin/sh", "-c", "echo hello; sleep 60"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=web-0"],
      cwd: "/",
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 2 ** 64, soft: 1024 }],
      noNewPrivileges: true,
      apparmorProfile: "",
      oomScoreAdj: 1000,
    } as Record<string, unknown>,
    root: { path: "rootfs", readonly: false },
    mounts: [
      mount("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
      mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
      mount("/dev/pts", "devpts", "devpts", [
        ...["nosuid", "noexec", "newinstance"],
        ...["ptmxmode=0666", "mode=0620", "gid=5"],
      ]),
      mount("/dev/shm", "tmpfs", "shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
      mount("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
      mount("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
      mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"]),
      mount("/etc/hosts", "bind", `${SANDBOX_FILES}/hosts`, ["rbind", "rprivate", "rw"]),
    ],
    annotations: {
      "io.kubernetes.cri.container-name": "web",
      "io.kubernetes.cri.container-type": "container",
      "io.kubernetes.cri.sandbox-id": "5e1f",
    },
    linux: {
      resources: {
        devices: [{ allow: false, access: "rwm" }],
        memory: { limit: 268_435_456, swap: 268_435_456 },
        cpu: { shares: 512, quota: 50_000, period: 100_000 },
      } as Record<string, unknown>,
      cgroupsPath: "/k8s.io/5e1f",
      namespaces: [
        { type: "pid" },
        { type: "ipc", path: `/proc/${SANDBOX_PID}/ns/ipc` },
        { type: "uts", path: `/proc/${SANDBOX_PID}/ns/uts` },
        { type: "mount" },
        { type: "network", path: `/proc/${SANDBOX_PID}/ns/net` },
        { type: "cgroup" },
      ] as { type: string; path?: string }[],
      maskedPaths: ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/sys/firmware"],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    } as Record<string, unknown> & { namespaces: { type: string; path?: string }[] },
  };
}

export function mount(destination: string, type: string, source: string, options: string[]) {
  return { destination, type, source, options };
}
