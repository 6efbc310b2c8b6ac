/**
 * Cases: what CNI's plugins have made is what the container sees.
 */
import { until } from "../../host/until.ts";
import { answers, type NetworkCase } from "../case.ts";
import { type Kind, TUNED } from "../kinds.ts";
import { PORTS } from "../network-pod.ts";

const SEEN: Readonly<Partial<Record<Kind, string>>> = {
  bridge: "bridge with portmap, firewall and bandwidth, two families",
  ptp: "ptp, two families, routes to the gateway's own address",
  macvlan: "macvlan on the node's LAN",
  two: "two interfaces, of bridge and of ptp",
  tuned: "tuning's MAC and MTU",
  odd: "more addresses, a peer, routes with MTU, metric, source and onlink, a blackhole, permanent neighbours",
  forty: "forty addresses more",
  mtu65535: "an MTU of 65535",
  mtu68: "an MTU of 68",
};

export const LINK_CASES: readonly NetworkCase[] = [
  ...Object.entries(SEEN).map(
    ([kind, what]): NetworkCase => ({
      name: `the container sees its network: ${what}`,
      run: async (scene) => (await scene.shared(kind as Kind)).show(),
    }),
  ),
  ...(["bridge", "ptp", "macvlan", "two"] as const).map(
    (kind): NetworkCase => ({
      name: `MAC and addresses are those that ${kind} has told CNI`,
      run: async (scene) => {
        const pod = await scene.shared(kind);
        const seen = await pod.probe("show");
        const { interfaces = [], ips = [] } = await pod.made();
        const mac = interfaces.find(({ sandbox }) => (sandbox ?? "") !== "")?.mac ?? "no MAC";
        return answers({
          mac: String(seen.includes(`link eth0 mac ${mac} `)),
          addresses: String(ips.every(({ address }) => seen.includes(`address ${address} dev eth0`))),
          cri: String(ips.some(({ address }) => address.startsWith(`${pod.v4}/`))),
        });
      },
    }),
  ),
  {
    name: "loopback is up, and both of its addresses answer",
    run: async (scene) => {
      const pod = await scene.shared("bridge");
      return answers({
        v4: pod.probe("get", "127.0.0.1", String(PORTS.local4)),
        v6: pod.probe("get", "::1", String(PORTS.local6)),
        other: pod.probe("get", "127.1.2.3", String(PORTS.tcp)),
        refused: pod.probe("get", "127.0.0.1", String(PORTS.refused)),
      });
    },
  },
  {
    name: "addresses can be used at once: no detection of duplicates is under way when a container begins",
    run: async (scene) => {
      const pod = await scene.start("bridge");
      const early = await pod.container(
        "netprobe show | grep -c tentative > /dev/termination-log; exec sleep 1000",
      );
      const counted = async () => {
        const { stdout } = await scene.rig.node.cri.execSync(early, ["cat", "/dev/termination-log"]);
        const said = Buffer.from(stdout).toString().trim();
        return said === "" ? undefined : `tentative: ${said}`;
      };
      return until("the container's first look", counted);
    },
  },
  {
    name: "two pods choose different ports, and know no neighbours of each other's",
    run: async (scene) => {
      const [one, other] = [await scene.start("ptp"), await scene.start("ptp")];
      const ports = await Promise.all(
        [one, other].map((pod) => pod.probe("ports", "127.0.0.1", String(PORTS.local4), "8")),
      );
      const neighbours = await one.exec(`cat /proc/net/arp | grep -c ${other.v4}; true`);
      return answers({ ports: ports[0] === ports[1] ? "the same" : "different", neighbours });
    },
  },
  {
    name: "sysctls that the tuning plugin has set in the namespace",
    run: async (scene) => {
      const paths = Object.keys(TUNED).map((name) => `/proc/sys/${name.replaceAll(".", "/")}`);
      // set by the plugin that has made the link
      paths.push("/proc/sys/net/ipv4/conf/eth0/arp_notify");
      return (await scene.shared("tuned")).exec(`cat ${paths.join(" ")}`);
    },
  },
  {
    name: "names of interfaces in /sys and /proc, and their counters begin with the pod",
    run: async (scene) => {
      const pod = await scene.shared("two");
      return pod.exec("ls /sys/class/net; cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' ' | sort");
    },
  },
  {
    name: "bandwidth's limit holds for what the pod receives and sends",
    run: async (scene) => {
      const pod = await scene.start("slow");
      const { rig } = scene;
      await pod.container("exec netprobe serve-rate :: 9000");
      await pod.untilListening(9000);
      const rate = async (what: string): Promise<string> => {
        const said = await rig.probe(rig.host, "rate", pod.v4, "9000", what, "4000");
        const { count, ms } = JSON.parse(said) as { count: number; ms: number };
        const megabits = (count * 8) / 1000 / ms;
        return megabits > 2 && megabits < 24 ? "about the limit" : `${megabits.toFixed(1)} Mbit/s`;
      };
      return answers({ in: await rate("send"), out: await rate("receive") });
    },
  },
];
