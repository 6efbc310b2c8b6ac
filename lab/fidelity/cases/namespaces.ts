/** Cases: user, IPC, UTS and PID namespaces of a pod and its containers. */
import { chown, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NamespaceMode } from "../../../src/rpc/generated/runtime/v1/cri.ts";
import type { FidelityCase } from "../case.ts";
import type { ContainerConfig, Handler, PodConfig } from "../handler-pod.ts";
import { hasPodNetwork, runcFeatures } from "../pod-network.ts";
import { bind, readonlyBind, VOLUME_IMAGE, withKubelet } from "./volumes/volumes.ts";

type Security = NonNullable<ContainerConfig["linux"]>["securityContext"];

const ids = [{ containerId: 0, hostId: 200_000, length: 65_536 }];
/** How kubelet binds volumes of such a pod. */
const IDMAPPED = { uidMappings: ids, gidMappings: ids };
/** What kubelet asks for where a pod says `hostUsers: false`. */
const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids };

/** A container in the user namespace. */
const mapped = (security: Security = {}): ContainerConfig => ({
  linux: {
    securityContext: {
      ...security,
      namespaceOptions: { ...security?.namespaceOptions, usernsOptions },
    },
  },
});

/** Under runc a user namespace goes with a pod network; blazar has none yet. */
const mappedPod =
  (pid: NamespaceMode = NamespaceMode.CONTAINER) =>
  (handler: Handler): PodConfig => {
    const network = handler === "runc" ? NamespaceMode.POD : NamespaceMode.NODE;
    return { linux: { securityContext: { namespaceOptions: { network, pid, usernsOptions } } } };
  };

/** runc from 1.2 on has the idmapped mounts without which containerd makes no user namespace. */
const applies = (): boolean => hasPodNetwork() && runcFeatures().includes('"idmap"');

/** A case in a pod with a user namespace. */
function inUserNamespace(name: string, run: FidelityCase["run"]): FidelityCase {
  return { name: `user namespace: ${name}`, pod: mappedPod(), applies, run };
}

const SHOWN = "stat -c '%n %u:%g %a'";

export const NAMESPACE_CASES: readonly FidelityCase[] = [
  inUserNamespace("its maps", (pod) =>
    pod.run("cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; id", mapped()),
  ),
  inUserNamespace("its maps in an exec", (pod) =>
    pod.exec("cat /proc/self/uid_map; id; touch /x && stat -c '%u:%g' /x", mapped()),
  ),
  inUserNamespace("the image's files belong to root", (pod) =>
    pod.run(`${SHOWN} / /bin /bin/busybox /etc /etc/passwd /tmp`, mapped()),
  ),
  inUserNamespace("root may do everything in its own files", (pod) =>
    pod.run(
      "echo x > /etc/new && chown 7:8 /etc/new && chmod 4755 /etc/new && stat -c '%u:%g %a' /etc/new; mv /etc/new /tmp/x && rm /tmp/x && echo gone; ln -s a /l && mkfifo /f && mkdir -p /d/e && echo made; chown 70000 /d 2>&1",
      mapped(),
    ),
  ),
  inUserNamespace("capabilities", (pod) => pod.run("grep Cap /proc/self/status", mapped())),
  inUserNamespace("another user", (pod) =>
    pod.run(
      "id; touch /tmp/mine && stat -c '%u:%g' /tmp/mine; cat /etc/shadow 2>&1 | tail -c 20; echo out > /dev/stdout",
      {
        ...mapped({ runAsUser: { value: 1000n }, runAsGroup: { value: 2000n }, supplementalGroups: [3000n] }),
      },
    ),
  ),
  inUserNamespace("what is in /dev", (pod) =>
    pod.run(
      "cd /dev; ls | grep -vx core | sort | tr '\\n' ' '; stat -c '%n %F %u:%g %a %t:%T' null zero tty; head -c 2 /dev/urandom | wc -c; echo x > /dev/null && echo ok",
      mapped(),
    ),
  ),
  inUserNamespace("no device can be made", (pod) => pod.run("mknod /tmp/n c 1 3 2>&1", mapped())),
  inUserNamespace("the kernel's filesystems", (pod) =>
    pod.run(
      "awk '{print $2, $3}' /proc/mounts | grep -vE '^/ |cgroup|/(hosts|hostname|resolv.conf|boot_id) ' | sort",
      mapped(),
    ),
  ),
  inUserNamespace("files of the pod can be read", (pod) =>
    pod.run(
      `cat /etc/resolv.conf > /dev/null && echo read; ${SHOWN} /dev/shm; echo x > /dev/shm/x && stat -c %u /dev/shm/x`,
      mapped(),
    ),
  ),
  inUserNamespace("root of a privileged mind mounts a tmpfs", (pod) =>
    pod.run(
      "mkdir /m; mount -t tmpfs t /m && echo mounted; hostname other && hostname; mount -o remount,rw /sys 2>&1 | head -1",
      mapped({ capabilities: { addCapabilities: ["SYS_ADMIN"], dropCapabilities: [] } }),
    ),
  ),
  inUserNamespace("the machine is out of reach", (pod) =>
    pod.run(
      "date -s 2020-01-01 2>&1 | head -1; echo 1 2>&1 > /proc/sys/kernel/panic; dmesg 2>&1 | tail -c 24; cat /proc/1/environ > /dev/null && echo own",
      mapped({ privileged: false, capabilities: { addCapabilities: ["ALL"], dropCapabilities: [] } }),
    ),
  ),
  inUserNamespace("a privileged port", (pod) =>
    pod.run("(timeout 1 nc -l -p 80) 2>&1; echo $?; (timeout 1 nc -l -p 79) 2>&1; echo $?", mapped()),
  ),
  inUserNamespace("a terminal", (pod) =>
    pod
      .type(["stty size; stat -c 'owner %u' $(tty); exit 3\n"], [100, 40], mapped())
      .then((screen) => (/40 100[\s\S]*owner 0/.test(screen) ? `seen, ${screen.slice(-6)}` : screen)),
  ),
  inUserNamespace(
    "volumes belong to whom they belong on the host",
    withKubelet(async (pod, kubelet) => {
      const files = await kubelet.projected("projected", "token", { token: "t" }, { group: 7, mode: 0o640 });
      const disk = await kubelet.emptyDir("disk");
      await writeFile(join(disk, "closed"), "closed", { mode: 0o600 });
      await chown(join(disk, "closed"), 1000, 70_000);
      const mounts = [
        readonlyBind(files.directory, "/token", IDMAPPED),
        bind(disk, "/disk", IDMAPPED),
        bind(await kubelet.emptyDir("memory", 1 << 20), "/memory", IDMAPPED),
        bind(await kubelet.terminationLog("main"), "/dev/termination-log", IDMAPPED),
      ];
      const script =
        "stat -L -c '%n %u:%g %a' /token/token /disk /disk/closed /memory /dev/termination-log; cat /disk/closed 2>&1; cd /disk; echo x > mine && chown 5:6 mine && chmod 4755 mine; mkdir d; ln -s a l; touch /memory/mine; chown 70000 mine 2>&1; stat -c '%n %u:%g %a' mine d l /memory/mine";
      const said = await pod.run(script, { ...mapped(), mounts });
      const { uid, gid } = await stat(join(disk, "mine"));
      return `${said} ${uid}:${gid}`;
    }),
  ),
  inUserNamespace(
    "volumes without maps, and one of the image",
    withKubelet(async (pod, kubelet) => {
      const files = await kubelet.projected("configmap", "config", { key: "k" });
      const mounts = [
        readonlyBind(files.directory, "/config"),
        bind(await kubelet.elsewhere("data"), "/data"),
      ];
      const script =
        "stat -L -c '%n %u:%g %a' /config/key /data; touch /data/x 2>&1; stat -c '%n %u:%g %a' /volume /volume/initial /made/volume; touch /volume/x /made/volume/x 2>&1";
      return pod.run(script, { ...mapped(), mounts, image: { image: VOLUME_IMAGE } });
    }),
  ),
  inUserNamespace("limits", (pod) => pod.run("ulimit -c; ulimit -s", mapped())),
  {
    ...inUserNamespace("seccomp and no new privileges", (pod) =>
      pod.run(
        "grep -E 'Seccomp:|NoNewPrivs' /proc/self/status; unshare -U true 2>&1 | tail -c 24",
        mapped({ noNewPrivs: true, seccomp: { profileType: 0 } }),
      ),
    ),
    applies: () => applies() && /"seccomp": *\{\s*"enabled": *true/.test(runcFeatures()),
  },
  {
    ...inUserNamespace("one PID namespace for the pod", (pod) => {
      const shared = mapped({ namespaceOptions: { pid: NamespaceMode.POD } });
      return pod.during(
        () =>
          pod.run(
            "i=0; until ps -o args | grep -q '^sleep 4343$' || [ $i = 50 ]; do sleep 0.1; i=$((i+1)); done; ps -o args | grep -c '^sleep 4343$'; kill -0 1 && echo mine",
            shared,
          ),
        "exec sleep 4343",
        shared,
      );
    }),
    pod: mappedPod(NamespaceMode.POD),
  },
];
