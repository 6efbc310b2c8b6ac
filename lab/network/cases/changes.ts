/**
 * Cases: what changes in the pod's namespace while the pod runs is seen by its containers.
 */
import { until } from "../../host/until.ts";
import type { NetworkCase } from "../case.ts";
import { type NetworkPod, PORTS } from "../network-pod.ts";

const PATIENCE = { timeoutMs: 30_000, pollMs: 100 };

async function shows(pod: NetworkPod, what: RegExp): Promise<string> {
  const seen = async () => (what.test(await pod.probe("show")) ? true : undefined);
  return until(String(what), seen, PATIENCE).then(
    () => "seen",
    async () => `not seen in:\n${await pod.show()}`,
  );
}

async function showsNot(pod: NetworkPod, what: RegExp): Promise<string> {
  const gone = async () => (what.test(await pod.probe("show")) ? undefined : true);
  return until(`no ${what}`, gone, PATIENCE).then(
    () => "gone",
    () => "still there",
  );
}

export const CHANGE_CASES: readonly NetworkCase[] = [
  {
    name: "an address and a route that are added and taken away later are followed",
    run: async (scene) => {
      const { rig } = scene;
      const pod = await scene.start("ptp");
      const lines: string[] = [];
      await pod.netns.ip("address add 10.102.0.7/32 dev eth0", "address add fd64:102::7/128 dev eth0 nodad");
      lines.push(`address: ${await shows(pod, /address 10\.102\.0\.7\/32 dev eth0/)}`);
      lines.push(`address6: ${await shows(pod, /address fd64:102::7\/128 dev eth0/)}`);
      const link =
        (await rig.host.run("ip", "-j", "route", "get", pod.v4)).match(/"dev":"([^"]+)"/)?.[1] ?? "?";
      await rig.host.ip(`route add 10.102.0.7/32 dev ${link}`);
      lines.push(`reached: ${await rig.probe(rig.host, "get", "10.102.0.7", String(PORTS.tcp))}`);
      await pod.netns.ip("route add 10.203.0.0/16 dev eth0 mtu 1000");
      lines.push(`route: ${await shows(pod, /route 10\.203\.0\.0\/16 dev eth0.* mtu 1000/)}`);
      await pod.netns.ip("route del 10.203.0.0/16 dev eth0", "address del 10.102.0.7/32 dev eth0");
      lines.push(
        `route: ${await showsNot(pod, /10\.203\.0\.0/)}`,
        `address: ${await showsNot(pod, /10\.102\.0\.7/)}`,
      );
      lines.push(`still: ${await rig.probe(rig.host, "get", pod.v4, String(PORTS.tcp))}`);
      return pod.tidy(lines.join("\n"));
    },
  },
  {
    name: "an MTU and a permanent neighbour that come later are followed",
    run: async (scene) => {
      const pod = await scene.start("ptp");
      await pod.netns.ip(
        "link set eth0 mtu 1280",
        "neighbour add 10.9.9.9 lladdr 02:00:00:00:00:77 dev eth0 nud permanent",
      );
      return [
        `mtu: ${await shows(pod, /link eth0 .* mtu 1280 /)}`,
        `neighbour: ${await shows(pod, /neighbour 10\.9\.9\.9 dev eth0 mac 02:00:00:00:00:77/)}`,
      ].join("\n");
    },
  },
  {
    name: "changes in the namespace are followed after the daemon's death, those of its absence as well",
    run: async (scene) => {
      const pod = await scene.start("ptp");
      await pod.netns.ip("address add 10.102.1.1/32 dev eth0");
      await shows(pod, /10\.102\.1\.1/);
      await scene.killDaemon(pod);
      await pod.netns.ip("address add 10.102.1.2/32 dev eth0");
      return [
        `before: ${await shows(pod, /10\.102\.1\.1/)}`,
        `after: ${await shows(pod, /10\.102\.1\.2/)}`,
      ].join("\n");
    },
    endsDaemon: true,
  },
];
