/** Cases: what a container may not do, and what a privileged one may. */
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SecurityProfile_ProfileType as Profile } from "../../../src/rpc/generated/runtime/v1/cri.ts";
import type { FidelityCase } from "../case.ts";
import { type ContainerConfig, failureOf } from "../handler-pod.ts";

const opens = (type: string, major: number, minor: number) =>
  `mknod /tmp/node ${type} ${major} ${minor} && echo made; head -c 1 /tmp/node 2>&1 | tail -c 24`;
const security = (
  securityContext: NonNullable<ContainerConfig["linux"]>["securityContext"],
): ContainerConfig => ({
  linux: { securityContext },
});
const PRIVILEGED = security({ privileged: true });
const device = (path: string): ContainerConfig => ({
  devices: [{ containerPath: path, hostPath: path, permissions: "rwm" }],
});

/** Forbids mkdir(2) and its kind, and lets everything else through. */
async function refusingMkdir(): Promise<string> {
  const file = join(tmpdir(), "blazar-fidelity-seccomp.json");
  const syscalls = [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 38 }];
  const architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"];
  await writeFile(file, JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", architectures, syscalls }));
  return file;
}

export const RULE_CASES: readonly FidelityCase[] = [
  {
    name: "a disk, its neighbour's or the host's, cannot be opened",
    run: (pod) => pod.run(opens("b", 8, 0)),
  },
  { name: "a serial line cannot be opened", run: (pod) => pod.run(opens("c", 4, 64)) },
  { name: "memory cannot be opened", run: (pod) => pod.run(opens("c", 1, 1)) },
  { name: "an exec cannot open a disk either", run: (pod) => pod.exec(opens("b", 8, 0)) },
  {
    name: "the default devices work",
    run: (pod) =>
      pod.run(
        "head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; echo x > /dev/null; echo x > /dev/full",
      ),
  },
  {
    name: "what is in /dev",
    run: (pod) =>
      pod
        // runc makes /dev/core only where the host's kernel has /proc/kcore
        .run("cd /dev; ls | grep -vx core | sort | tr '\\n' ' '; stat -c '%n %F %a %t:%T' null zero tty"),
  },
  {
    name: "a device that is asked for",
    applies: () => existsSync("/dev/fuse"),
    run: (pod) => pod.run("stat -c '%F %t:%T %a %u:%g' /dev/fuse", device("/dev/fuse")),
  },
  {
    name: "a device that was not asked for",
    run: (pod) => pod.run(opens("c", 10, 229)),
  },
  {
    name: "a disk that is asked for",
    applies: () => existsSync("/dev/loop0"),
    run: (pod) => pod.run("stat -c '%F %t:%T' /dev/loop0", device("/dev/loop0")),
  },
  {
    name: "no seccomp profile",
    run: (pod) => pod.run("grep Seccomp: /proc/self/status; mkdir /tmp/x && echo made"),
  },
  {
    name: "the runtime's seccomp profile",
    run: (pod) =>
      pod.run(
        "grep Seccomp: /proc/self/status; mkdir /tmp/x && echo made; unshare -U true 2>&1 | tail -c 24; dmesg 2>&1 | tail -c 24",
        security({ seccomp: { profileType: Profile.RuntimeDefault } }),
      ),
  },
  {
    name: "the runtime's seccomp profile, without the right to new privileges, in an exec",
    run: (pod) =>
      pod.exec(
        "grep -E 'Seccomp:|NoNewPrivs' /proc/self/status; unshare -U true 2>&1 | tail -c 24",
        security({ noNewPrivs: true, seccomp: { profileType: Profile.RuntimeDefault } }),
      ),
  },
  {
    name: "a seccomp profile of the node's",
    run: async (pod) =>
      pod.run(
        "mkdir /tmp/x 2>&1",
        security({ seccomp: { profileType: Profile.Localhost, localhostRef: await refusingMkdir() } }),
      ),
  },
  {
    name: "masked paths",
    run: (pod) =>
      pod.run(
        "cat /proc/timer_list | wc -c; ls /sys/kernel | wc -l",
        security({ maskedPaths: ["/proc/timer_list", "/sys/kernel", "/proc/nothing"] }),
      ),
  },
  {
    name: "read-only paths",
    run: (pod) =>
      pod.run(
        "cd /proc/sys; v=$(cat vm/swappiness); echo $v > vm/swappiness",
        security({ readonlyPaths: ["/proc/sys", "/proc/nothing"] }),
      ),
  },
  {
    name: "a read-only root",
    run: (pod) =>
      pod.run(
        "touch /x 2>&1; touch /dev/shm/x && echo shm; touch /tmp/x 2>&1",
        security({ readonlyRootfs: true }),
      ),
  },
  {
    name: "a privileged container may set a sysctl, and mount",
    pod: { linux: { securityContext: { privileged: true } } },
    run: (pod) =>
      pod.run(
        // the value that is there: under runc this is the host's
        "cd /proc/sys/vm; v=$(cat swappiness); echo $v > swappiness && echo set; mkdir /m; mount -t tmpfs t /m && echo mounted",
        PRIVILEGED,
      ),
  },
  {
    name: "a privileged container may open the kernel's log",
    pod: { linux: { securityContext: { privileged: true } } },
    run: (pod) => pod.run("mknod /tmp/kmsg c 1 11; head -c 1 /tmp/kmsg | wc -c", PRIVILEGED),
  },
  {
    name: "hostPID",
    pod: { linux: { securityContext: { namespaceOptions: { pid: 2 } } } },
    run: (pod) => failureOf(pod.run("true")),
    explained: "the processes of the host are not in the guest, so hostPID is refused",
  },
  {
    name: "hostIPC",
    pod: { linux: { securityContext: { namespaceOptions: { ipc: 2 } } } },
    run: (pod) => failureOf(pod.run("true")),
    explained: "System V IPC of the host is not in the guest, so hostIPC is refused",
  },
];
