/**
 * Cases: networks that cannot be had. A clear error, and nothing left.
 */
import { reasonOf } from "../../../src/contracts/errors.ts";
import { failureOf } from "../../fidelity/handler-pod.ts";
import { until } from "../../host/until.ts";
import { answers, type NetworkCase, type Scene } from "../case.ts";
import type { Kind } from "../kinds.ts";
import { PORTS } from "../network-pod.ts";

/** Whether a pod of this kind runs, and how it is refused: by which words. */
async function outcome(scene: Scene, kind: Kind, words: RegExp): Promise<string> {
  try {
    await scene.start(kind);
    return "it runs";
  } catch (error) {
    const reason = reasonOf(error);
    return words.test(reason) ? `refused: ${words.exec(reason)?.[0]}` : `refused in other words: ${reason}`;
  }
}

async function linksOfHost({ rig }: Scene): Promise<number> {
  const links = await rig.host.run("ip", "-o", "link");
  return links.split("\n").filter((line) => line.includes("veth")).length;
}

export const BAD_INPUT_CASES: readonly NetworkCase[] = [
  {
    name: "a plugin that fails half way: its words are the error, and nothing is left",
    run: async (scene) => {
      const before = await linksOfHost(scene);
      const said = await outcome(scene, "halfway", /this plugin fails on purpose/);
      const after = await linksOfHost(scene);
      const pods = await scene.rig.node.cri.listPodSandboxes();
      const ready = pods.filter(({ runtimeHandler }) => runtimeHandler.endsWith("halfway")).length;
      return answers({ said, links: String(after - before), pods: String(ready) });
    },
  },
  {
    name: "a namespace that is gone when the pod begins: the pod is refused, and nothing is left",
    run: async (scene) => {
      const before = await linksOfHost(scene);
      const said = await failureOf(scene.start("gone"));
      const asBefore = async () => ((await linksOfHost(scene)) === before ? "nothing is left" : undefined);
      const left = await until("the end of the pod's link", asBefore, { timeoutMs: 30_000 }).catch(
        () => "its link is left",
      );
      const pods = await scene.rig.node.cri.listPodSandboxes();
      const there = pods.filter(({ runtimeHandler }) => runtimeHandler.endsWith("gone")).length;
      return answers({ said, left, pods: String(there) });
    },
  },
  {
    name: "a kind of link that cannot be carried is refused by its name",
    run: (scene) => outcome(scene, "tunnel", /tunnel0/),
    explained: "a link without Ethernet cannot be carried into a guest",
    blazar: /^refused: tunnel0$/,
  },
  {
    name: "an MTU of 65535 carries large packets",
    run: async (scene) => {
      const pod = await scene.shared("mtu65535");
      const { rig } = scene;
      return answers({
        get: rig.probe(rig.host, "get", pod.v4, String(PORTS.tcp)),
        half: rig.probe(rig.host, "half", pod.v4, String(PORTS.tcp), "5000000"),
      });
    },
  },
  {
    name: "an MTU of 68 carries small packets",
    run: async (scene) => {
      const pod = await scene.shared("mtu68");
      const { rig } = scene;
      return rig.probe(rig.host, "get", pod.v4, String(PORTS.tcp));
    },
  },
  {
    name: "each of forty addresses is reached",
    run: async (scene) => {
      const pod = await scene.shared("forty");
      const { rig } = scene;
      const link =
        (await rig.host.run("ip", "-j", "route", "get", pod.v4)).match(/"dev":"([^"]+)"/)?.[1] ?? "?";
      const all = Array.from({ length: 40 }, (_, each) => `10.101.${each}.1`);
      await rig.host.ip(...all.map((address) => `route replace ${address}/32 dev ${link}`));
      const said = await Promise.all(
        all.map((address) => rig.probe(rig.host, "get", address, String(PORTS.tcp))),
      );
      return `${said.filter((line) => line.startsWith("pod from ")).length} of 40`;
    },
  },
];
