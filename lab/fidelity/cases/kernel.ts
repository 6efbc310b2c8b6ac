/** Cases: sysctls and devices, as a pod or a container asks for them. */

import type { FidelityCase } from "../case.ts";
import type { PodConfig } from "../handler-pod.ts";
import { type ContainerConfig, failureOf } from "../handler-pod.ts";

const file = (name: string) => `/proc/sys/${name.replaceAll(".", "/")}`;
const withSysctls = (sysctls: Record<string, string>): PodConfig => ({ linux: { sysctls } });

/** A pod with the sysctl, or what becomes of it. */
function sysctl(name: string, value: string): FidelityCase {
  return {
    name: `sysctl: ${name}=${JSON.stringify(value)}`,
    pod: withSysctls({ [name]: value }),
    run: (pod) => pod.run(`cat ${file(name)} | tr '\\t' ' '`),
  };
}

const device = (hostPath: string, containerPath: string, permissions: string): ContainerConfig => ({
  devices: [{ hostPath, containerPath, permissions }],
});
const SHOW = "stat -c '%F %t:%T %a %u:%g' /dev/mine";

export const KERNEL_CASES: readonly FidelityCase[] = [
  sysctl("kernel.msgmax", "16384"),
  sysctl("kernel.sem", "251 32001 33 129"),
  sysctl("kernel.shm_rmid_forced", "1"),
  sysctl("fs.mqueue.msg_max", "20"),
  sysctl("kernel.shmmax", "18446744073692774399"),
  { ...sysctl("kernel.domainname", "example"), podIsRefused: true },
  {
    name: "device: under another name, with a read permission only",
    run: (pod) =>
      pod.run(
        `${SHOW}; head -c 2 /dev/mine | wc -c; echo x > /dev/mine && echo written`,
        device("/dev/null", "/dev/mine", "r"),
      ),
  },
  {
    name: "device: the default devices stay what they are, whatever is asked for them",
    run: (pod) => pod.run("echo x > /dev/null && echo written", device("/dev/null", "/dev/null", "m")),
    explained:
      "runc cannot start a container that may not open /dev/null; in a guest the default devices are always allowed",
  },
  {
    name: "device: another one in place of a default one",
    run: (pod) =>
      pod.run(
        "stat -c '%t:%T' /dev/null; head -c 2 /dev/null | wc -c",
        device("/dev/zero", "/dev/null", "rwm"),
      ),
    explained:
      "runc makes it so; blazar refuses it by name, since a container's programs count on what these devices are",
  },
  {
    name: "device: below directories that are missing",
    run: (pod) =>
      pod.run("stat -c '%F %t:%T' /dev/a/b/c /elsewhere/d", {
        devices: [
          { hostPath: "/dev/zero", containerPath: "/dev/a/b/c", permissions: "rwm" },
          { hostPath: "/dev/zero", containerPath: "/elsewhere/d", permissions: "rwm" },
        ],
      }),
  },
  {
    name: "device: odd permissions",
    run: async (pod) => {
      const outcomes: string[] = [];
      for (const permissions of ["", "x", "rwmx", "wr", "m"])
        outcomes.push(await failureOf(pod.run("true", device("/dev/zero", "/dev/mine", permissions))));
      return outcomes.join(", ");
    },
    explained:
      "blazar takes no permission for all of them, and refuses letters that are none by name; runc passes over those, and fails without any",
  },
  {
    name: "device: what is none, or is not there",
    run: async (pod) =>
      `${await failureOf(pod.run("true", device("/etc/passwd", "/dev/mine", "rwm")))} ${await failureOf(pod.run("true", device("/dev/no-such", "/dev/mine", "rwm")))}`,
  },
  {
    name: "device: a terminal's multiplexer and a terminal",
    run: (pod) =>
      pod.run(
        "ls -l /dev/ptmx | sed 's/.*\\/dev/dev/'; stat -c '%a' /dev/pts/ptmx; mknod /tmp/p c 5 2 && (: < /tmp/p) && echo opened",
      ),
  },
  {
    name: "device: made by mknod, and who may",
    run: (pod) =>
      pod.run(
        "for n in '1 3' '1 5' '5 0' '10 200' '7 0' '240 0'; do rm -f /tmp/n; mknod /tmp/n c $n && (: < /tmp/n) 2>/dev/null && echo \"$n opens\"; done; mknod /tmp/f p && echo fifo; mknod /tmp/b b 7 0 2>&1 && (: < /tmp/b) 2>&1 | sed 's/.*: //'",
      ),
    explained:
      "runc before 1.2 lets every container open /dev/net/tun; blazar, as newer runcs, only where it is asked for",
  },
];
