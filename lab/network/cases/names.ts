/**
 * Cases: names (resolv.conf, hosts, hostname) and sysctls of a pod, as PodSandboxConfig asks for them.
 */
import { readFile } from "node:fs/promises";
import { failureOf, type PodConfig } from "../../fidelity/handler-pod.ts";
import { until } from "../../host/until.ts";
import { PodDirectory } from "../../kubelet/pod-directory.ts";
import type { NetworkCase, Scene } from "../case.ts";
import type { NetworkPod } from "../network-pod.ts";

const DNS: PodConfig = {
  dnsConfig: {
    servers: ["10.96.0.10", "fd00:10:96::a"],
    searches: ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"],
    options: ["ndots:5", "edns0"],
  },
};

const SYSCTLS: Readonly<Record<string, string>> = {
  "net.ipv4.ip_local_port_range": "40000 50000",
  "net.ipv4.tcp_syncookies": "0",
  "net.ipv4.ping_group_range": "0 2147483647",
  "net.ipv4.ip_unprivileged_port_start": "0",
  "net.core.somaxconn": "1024",
  "net.ipv6.conf.all.forwarding": "1",
  "net/ipv4/conf/all/arp_notify": "1",
  "kernel.shm_rmid_forced": "1",
  "kernel.msgmax": "65536",
  "kernel.sem": "500 32000 64 256",
  "fs.mqueue.msg_max": "20",
};

const REFUSED: Readonly<Record<string, string>> = {
  "kernel.panic": "1",
  "vm.swappiness": "10",
  "net.ipv4.no_such_thing": "1",
  "net.ipv4.tcp_syncookies": "no number",
  "kernel.hostname": "other",
};

async function refused(
  scene: Scene,
  kind: "bridge" | "host",
  sysctls: Record<string, string>,
): Promise<string> {
  const start = scene.start(kind, { linux: { sysctls } });
  return failureOf(start.then((pod) => pod.exec("true")));
}

async function shownSysctls(pod: NetworkPod): Promise<string> {
  const paths = Object.keys(SYSCTLS).map((name) => `/proc/sys/${name.replaceAll(".", "/")}`);
  return pod.exec(`for file in ${paths.join(" ")}; do echo "$file $(cat $file)"; done`);
}

/** A pod's `/etc/hosts` as kubelet makes it is a mount of each container. */
async function withHosts(scene: Scene): Promise<string> {
  const kubelet = await PodDirectory.make();
  try {
    const hostPath = await kubelet.hostsFile("10.1.2.3 alias.remote\n");
    const pod = await scene.start("bridge", {}, { mounts: [{ hostPath, containerPath: "/etc/hosts" }] });
    return await pod.exec("grep -c alias.remote /etc/hosts; wc -l < /etc/hosts");
  } finally {
    await scene.end();
    await kubelet.remove();
  }
}

export const NAME_CASES: readonly NetworkCase[] = [
  {
    name: "resolv.conf has the servers, searches and options of dns_config",
    run: async (scene) => (await scene.start("bridge", DNS)).exec("cat /etc/resolv.conf"),
  },
  {
    name: "resolv.conf without a dns_config is the host's",
    run: async (scene) => {
      const pod = await scene.shared("bridge");
      const [seen, hosts] = [
        await pod.exec("cat /etc/resolv.conf"),
        await readFile("/etc/resolv.conf", "utf8"),
      ];
      return seen === hosts.trimEnd() ? "the host's" : seen;
    },
  },
  {
    name: "resolv.conf with an empty dns_config",
    run: async (scene) => {
      const pod = await scene.start("bridge", { dnsConfig: {} });
      const [seen, hosts] = [
        await pod.exec("cat /etc/resolv.conf"),
        await readFile("/etc/resolv.conf", "utf8"),
      ];
      return seen === hosts.trimEnd() ? "the host's" : seen;
    },
  },
  {
    name: "a resolver of the pod asks the servers of dns_config",
    run: async (scene) => {
      const { rig } = scene;
      const end = await rig.serve(rig.outside, "serve-udp", "10.90.0.2", "53", "dns");
      const pod = await scene.start("bridge", {
        dnsConfig: { servers: ["10.90.0.2"], searches: [], options: [] },
      });
      const seen = rig.serve(rig.outside, "capture", "eth0", "20000");
      await pod.exec("timeout 10 nslookup some.name > /dev/null 2>&1; true");
      const frames = await (await seen)();
      await end();
      return frames.includes("udp 10.90.0.1 10.90.0.2") ? "asked" : "not asked";
    },
  },
  {
    name: "the hosts file begins as the host's, unless there is a mount",
    run: async (scene) => {
      const pod = await scene.shared("bridge");
      const [seen, hosts] = [await pod.exec("cat /etc/hosts"), await readFile("/etc/hosts", "utf8")];
      return seen.startsWith(hosts.trimEnd()) ? "the host's" : pod.tidy(seen);
    },
  },
  {
    name: "a pod's own name leads to its addresses",
    explained: "runc's pods have the host's hosts file and no more",
    run: async (scene) => {
      const pod = await scene.start("bridge", { hostname: "pod-7" });
      return pod.tidy(await pod.exec("grep -w pod-7 /etc/hosts"));
    },
  },
  { name: "hostAliases: kubelet's mount at /etc/hosts", run: withHosts },
  {
    name: "hostname of the pod, and what gethostname and HOSTNAME say",
    run: async (scene) => {
      const pod = await scene.start("bridge", { hostname: "pod-7" });
      return pod.exec("hostname; cat /etc/hostname /proc/sys/kernel/hostname; echo $HOSTNAME; uname -n");
    },
  },
  {
    name: "setHostnameAsFQDN: a hostname with dots",
    run: async (scene) => {
      const pod = await scene.start("bridge", { hostname: "pod-7.sub.default.svc.cluster.local" });
      return pod.exec("hostname; cat /etc/hostname");
    },
  },
  {
    name: "sysctls of a pod are set before its containers begin",
    run: async (scene) => shownSysctls(await scene.start("bridge", { linux: { sysctls: SYSCTLS } })),
  },
  {
    name: "sysctls that are not a pod's, unknown ones and bad values are refused",
    run: async (scene) => {
      const each = Object.entries(REFUSED).map(async ([name, value]) => [name, value] as const);
      const lines: string[] = [];
      for (const [name, value] of await Promise.all(each))
        lines.push(`${name}=${value}: ${await refused(scene, "bridge", { [name]: value })}`);
      return lines.join("\n");
    },
  },
  {
    name: "net.* sysctls of a hostNetwork pod are refused",
    run: (scene) => refused(scene, "host", { "net.ipv4.tcp_syncookies": "1" }),
  },
  {
    name: "an unprivileged user binds a low port and sends an ICMP echo where sysctls allow it",
    run: async (scene) => {
      const sysctls = {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": "0 2147483647",
      };
      const pod = await scene.start("bridge", { linux: { sysctls } });
      const user = { linux: { securityContext: { runAsUser: { value: 1000n } } } };
      const id = await pod.container("netprobe serve :: 80 low & exec sleep 1000", user);
      const { cri } = scene.rig.node;
      const served = async () => {
        const { stdout } = await cri.execSync(id, ["sh", "-c", "netprobe get 127.0.0.1 80 2>&1"]);
        const said = Buffer.from(stdout).toString();
        return said.startsWith("low") ? said : undefined;
      };
      return until("the server at port 80", served);
    },
  },
];
