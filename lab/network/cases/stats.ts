/**
 * Cases: PodSandboxStats of a pod's interfaces.
 */
import { until } from "../../host/until.ts";
import { answers, type NetworkCase } from "../case.ts";
import { type NetworkPod, PORTS } from "../network-pod.ts";

const MB = 1_000_000;

async function counters(pod: NetworkPod): Promise<{ name: string; rx: number; tx: number; others: string }> {
  const stats = await pod.rig.node.cri.podSandboxStats(pod.id);
  const network = stats?.linux?.network;
  const own = network?.defaultInterface;
  return {
    name: own?.name ?? "none",
    rx: Number(own?.rxBytes?.value ?? -1),
    tx: Number(own?.txBytes?.value ?? -1),
    others: (network?.interfaces ?? [])
      .map(({ name }) => name)
      .sort()
      .join(","),
  };
}

export const STATS_CASES: readonly NetworkCase[] = [
  {
    name: "PodSandboxStats counts what the pod receives and sends, the right way round",
    run: async (scene) => {
      const { rig } = scene;
      const pod = await scene.start("bridge", await scene.cgroup());
      const before = await counters(pod);
      await rig.probe(rig.host, "half", pod.v4, String(PORTS.tcp), String(10 * MB));
      const about = (bytes: number) => (bytes > 9.9 * MB && bytes < 12 * MB ? "10 MB" : `${bytes} bytes`);
      const after = await until(
        "the counters",
        async () => {
          const now = await counters(pod);
          return now.rx - before.rx > 9 * MB || now.tx - before.tx > 9 * MB ? now : undefined;
        },
        { timeoutMs: 30_000 },
      );
      return answers({
        name: after.name,
        others: after.others,
        received: about(after.rx - before.rx),
        sent: after.tx - before.tx < 2 * MB ? "little" : `${after.tx - before.tx} bytes`,
      });
    },
  },
  {
    name: "PodSandboxStats has both interfaces of a pod with two",
    run: async (scene) => {
      const { name, others } = await counters(await scene.start("two", await scene.cgroup()));
      return `${name} and ${others}`;
    },
  },
  {
    name: "what containers send to each other by loopback counts for no interface",
    run: async (scene) => {
      const pod = await scene.start("bridge", await scene.cgroup());
      const before = await counters(pod);
      await pod.probe("half", "127.0.0.1", String(PORTS.local4), String(5 * MB));
      const after = await counters(pod);
      return after.rx - before.rx < MB && after.tx - before.tx < MB ? "nothing" : "it counts";
    },
  },
];
