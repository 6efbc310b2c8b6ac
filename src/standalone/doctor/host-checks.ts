/**
 * Checks of the host: privileges, KVM, the VMM, control groups, the kernel, users, disks, ICMP echo.
 */
import { type Check, type Finding, fault, note, ok } from "./check.ts";

const GIBIBYTE = 2 ** 30;
/** Below this, a directory that grows is nearly full. */
const LOW_BYTES = 2 * GIBIBYTE;
const FULL_BYTES = GIBIBYTE / 4;
/** cgroup.kill came with Linux 5.14, and with it all that is needed. */
const LEAST_KERNEL = [5, 14] as const;
const LEAST_NODE = 20;
/** The oldest that was tried: Debian 12's. */
const LEAST_QEMU = [7, 2] as const;
const CONTROLLERS = ["cpu", "memory", "pids"] as const;

export const HOST_CHECKS: Readonly<Record<string, Check>> = {
  privileges: ({ host }) =>
    host.uid === 0
      ? [ok("privileges", "runs as root")]
      : [fault("privileges", `runs as user ${host.uid}`, "run it as root: other users cannot see all")],
  node: ({ host: { node } }) => {
    if (Number.parseInt(node, 10) >= LEAST_NODE) return [ok("node", node)];
    const remedy = `install Node ${LEAST_NODE} or later: Debian 13 has it`;
    return [fault("node", `${node} is older than ${LEAST_NODE}`, remedy)];
  },
  kvm,
  vmm,
  cgroups,
  kernel,
  users,
  disk,
  "icmp echo": pingGroups,
};

async function vmm({ host, config }: Parameters<Check>[0]): Promise<Finding[]> {
  const { binary } = config.vmm;
  const there = binary.includes("/") ? await host.may(binary, "execute") : await host.which(binary);
  if (there === undefined || there === false)
    return [fault("vmm", `there is no program ${binary}`, "install qemu-system-x86, or set vmm.binary")];
  const [version, major, minor] =
    /\bversion (\d+)\.(\d+)\S*/.exec((await host.versionOf(binary)) ?? "") ?? [];
  if (version === undefined)
    return [fault("vmm", `${binary} does not say its version`, "see what it says to --version")];
  const [leastMajor, leastMinor] = LEAST_QEMU;
  if (Number(major) < leastMajor || (Number(major) === leastMajor && Number(minor) < leastMinor))
    return [
      fault("vmm", `${binary}, ${version}, is older than ${LEAST_QEMU.join(".")}`, "install a newer one"),
    ];
  return [ok("vmm", `${binary}, ${version}`)];
}

/** What the daemon has found out by booting a guest; without one, what can be seen of the device. */
async function kvm({ host, config, daemon }: Parameters<Check>[0]): Promise<Finding[]> {
  const wanted = config.vmm.acceleration;
  if (wanted === "tcg") return [note("kvm", "vmm.acceleration is tcg: guests are emulated")];
  const { first_uid: first } = config.vmm;
  const user = host.uid === 0 ? { uid: first, gid: first } : undefined;
  const found = daemon?.node.kvm ?? (await host.kvmProblem(user));
  if (found === undefined)
    return [ok("kvm", "VMMs can open /dev/kvm; the daemon's start shows whether a guest boots with it")];
  const { state, reason, remedy } = found;
  if (state === "works") return [ok("kvm", "guests boot with it")];
  if (state === "unwanted") return [note("kvm", "the daemon does not look for it: guests are emulated")];
  if (wanted === "kvm")
    return [fault("kvm", `${state}: ${reason}`, `${remedy}; or set vmm.acceleration to auto`)];
  const slow = "Guests are emulated, about fifteen times slower";
  return [note("kvm", `${state}: ${reason}. ${slow}`, remedy)];
}

async function cgroups({ host }: Parameters<Check>[0]): Promise<Finding[]> {
  const text = await host.read("/sys/fs/cgroup/cgroup.controllers");
  if (text === undefined) {
    const mounts = (await host.read("/proc/self/mounts")) ?? "";
    if (/ cgroup /.test(mounts))
      return [
        note(
          "cgroups",
          "version 1: it works, version 2 tells more",
          "boot with systemd.unified_cgroup_hierarchy=1",
        ),
      ];
    return [fault("cgroups", "none are mounted", "mount cgroup2 at /sys/fs/cgroup")];
  }
  const there = text.trim().split(/\s+/);
  const missing = CONTROLLERS.filter((name) => !there.includes(name));
  if (missing.length === 0) return [ok("cgroups", `version 2 with ${CONTROLLERS.join(", ")}`)];
  const remedy = "enable them in the kernel's configuration, and in cgroup.subtree_control above";
  return [fault("cgroups", `version 2 without ${missing.join(", ")}`, remedy)];
}

async function kernel({ host }: Parameters<Check>[0]): Promise<Finding[]> {
  const release = ((await host.read("/proc/sys/kernel/osrelease")) ?? "").trim();
  const [major = 0, minor = 0] = release.split(".").map((part) => Number.parseInt(part, 10));
  const [leastMajor, leastMinor] = LEAST_KERNEL;
  const findings: Finding[] = [];
  if (major < leastMajor || (major === leastMajor && minor < leastMinor))
    findings.push(
      fault("kernel", `${release} is older than ${LEAST_KERNEL.join(".")}`, "use a newer kernel"),
    );
  const systems = (await host.read("/proc/filesystems")) ?? "";
  if (!/\boverlay$/m.test(systems))
    findings.push(fault("kernel", "overlayfs is not there", "modprobe overlay"));
  if (((await host.read("/proc/sys/user/max_user_namespaces")) ?? "0").trim() === "0")
    findings.push(
      fault("kernel", "user namespaces are turned off", "sysctl -w user.max_user_namespaces=15000"),
    );
  if (!(await host.may("/dev/net/tun", "write")))
    findings.push(fault("kernel", "/dev/net/tun is not there, or cannot be used", "modprobe tun"));
  if ((await host.read("/proc/sys/kernel/seccomp/actions_avail")) === undefined)
    findings.push(fault("kernel", "it has no seccomp filters", "use a kernel with CONFIG_SECCOMP_FILTER"));
  if ((await host.read("/proc/pressure/memory")) === undefined)
    findings.push(
      note("kernel", "it tells no pressure (PSI): the pool does not yield to it", "boot with psi=1"),
    );
  return findings.length > 0 ? findings : [ok("kernel", `${release} has all that is needed`)];
}

/** Users of VMMs must be nobody else's: passwd(5), group(5), subuid(5). Who has the number of a VMM may trace and signal it. */
async function users({ host, config }: Parameters<Check>[0]): Promise<Finding[]> {
  const { first_uid: first, uid_count: count } = config.vmm;
  const range = `${first} to ${first + count - 1}`;
  for (const file of ["/etc/passwd", "/etc/group"]) {
    for (const line of ((await host.read(file)) ?? "").split("\n")) {
      const [owner, , id = ""] = line.split(":");
      if (owner === undefined || id === "" || !(Number(id) >= first && Number(id) < first + count)) continue;
      const remedy = "set vmm.first_uid to a range that is nobody's";
      return [fault("users", `${file} gives ${id} of ${range} to ${owner}`, remedy)];
    }
  }
  for (const file of ["/etc/subuid", "/etc/subgid"]) {
    for (const line of ((await host.read(file)) ?? "").split("\n")) {
      const [owner, from, size] = line.split(":");
      const start = Number(from);
      if (owner === undefined || !(start < first + count && start + Number(size) > first)) continue;
      const remedy = "set vmm.first_uid to a range that is nobody's";
      return [fault("users", `${file} gives some of ${range} to ${owner}`, remedy)];
    }
  }
  return [ok("users", `${range} are nobody else's`)];
}

async function disk({ host, config }: Parameters<Check>[0]): Promise<Finding[]> {
  const places = {
    "daemon.state_directory": config.daemon.state_directory,
    "storage.scratch_directory": config.storage.scratch_directory,
    "template.directory": config.template.directory,
    "image.directory": config.image.directory,
  };
  const findings: Finding[] = [];
  for (const [key, path] of Object.entries(places)) {
    const free = await host.freeBytes(path);
    if (free === undefined)
      findings.push(fault("disk", `${path} (${key}) is on no file system`, "make its directory"));
    else if (free < FULL_BYTES)
      findings.push(fault("disk", `${path} (${key}) has ${megabytes(free)} left`, "make room"));
    else if (free < LOW_BYTES && key !== "daemon.state_directory")
      findings.push(note("disk", `${path} (${key}) has only ${megabytes(free)} left`, "make room"));
  }
  return findings.length > 0 ? findings : [ok("disk", "there is room for layers, templates and images")];
}

async function pingGroups({ host }: Parameters<Check>[0]): Promise<Finding[]> {
  const file = "/proc/sys/net/ipv4/ping_group_range";
  const [from = 1, to = 0] = ((await host.read(file)) ?? "").trim().split(/\s+/).map(Number);
  if (from === 0 && to >= 2_000_000_000) return [ok("icmp echo", "any group may send it")];
  const remedy = 'sysctl -w net.ipv4.ping_group_range="0 2147483647"';
  return [note("icmp echo", "pods with hostNetwork cannot ping", remedy)];
}

function megabytes(bytes: number): string {
  return `${Math.floor(bytes / 2 ** 20)} MiB`;
}
