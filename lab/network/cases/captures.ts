/**
 * Cases with packet sockets: a pod's traffic is where it belongs and nowhere else, and no pod passes for another.
 */
import { answers, type NetworkCase, type Scene } from "../case.ts";
import { OUTSIDE } from "../lab-network.ts";
import { type NetworkPod, PORTS } from "../network-pod.ts";

const LONG = "60000";

/** The frames of a capture that have a text in them. */
function having(frames: string, ...texts: readonly string[]): number {
  return frames.split("\n").filter((line) => texts.every((text) => line.includes(text))).length;
}

async function hostLinkOf(pod: NetworkPod): Promise<string> {
  const { interfaces = [] } = await pod.made();
  return interfaces.findLast(({ sandbox }) => (sandbox ?? "") === "")?.name ?? "?";
}

async function private_(scene: Scene): Promise<string> {
  const { rig } = scene;
  const [one, other, third] = [
    await scene.shared("bridge"),
    await scene.shared("bridge", "other"),
    await scene.start("bridge"),
  ];
  // the bridge learns who is where
  await one.probe("get", other.v4, String(PORTS.tcp));
  const captures = {
    lan: await rig.serve(rig.outside, "capture", "any", LONG),
    third: await rig.serve(rig.host, "capture", await hostLinkOf(third), LONG),
    own: await rig.serve(rig.host, "capture", await hostLinkOf(one), LONG),
  };
  await one.probe("get", other.v4, String(PORTS.tcp), "20");
  await one.probe("half", "127.0.0.1", String(PORTS.local4), "100000");
  const [lan, thirds, own] = [await captures.lan(), await captures.third(), await captures.own()];
  return answers({
    lan: String(having(lan, one.v4) + having(lan, other.v4)),
    third: String(having(thirds, "tcp", one.v4)),
    own: having(own, "tcp", one.v4, other.v4) > 40 ? "seen" : "not seen",
    loopback: String(having(own, "127.0.0.1")),
  });
}

/** What a frame with a forged sender does: it is seen by the pod that it is for, or it is not. */
async function forged(scene: Scene, kind: "bridge" | "guarded"): Promise<string> {
  const { rig } = scene;
  const [one, other] = [await scene.start(kind), await scene.start(kind)];
  const others = (await other.made()).interfaces?.find(({ sandbox }) => (sandbox ?? "") !== "")?.mac ?? "";
  const own = (await one.made()).interfaces?.find(({ sandbox }) => (sandbox ?? "") !== "")?.mac ?? "";
  // both are known to the bridge and to each other
  await one.probe("get", other.v4, String(PORTS.tcp));
  const send = async (mac: string, from: string): Promise<string> => {
    const end = await rig.serve(rig.host, "capture", await hostLinkOf(other), LONG);
    const sent = await one.probe("spoof", "eth0", mac, from, others, other.v4);
    // it was before this on the same link; the capture has its time to say so
    await one.probe("get", other.v4, String(PORTS.tcp));
    await new Promise((resolve) => setTimeout(resolve, 500));
    const frames = await end();
    return `${sent}, ${having(frames, mac === "own" ? own : mac, "udp", other.v4) > 0 ? "seen" : "not seen"}`;
  };
  return answers({
    own: send("own", "own"),
    anotherMac: send("02:00:00:00:00:55", "own"),
  });
}

export const CAPTURE_CASES: readonly NetworkCase[] = [
  {
    name: "a capture: pods' traffic is on their links, and neither on the LAN nor at a third pod",
    run: private_,
  },
  {
    name: "a capture: what masquerades shows the node's address outside, and never the pod's",
    run: async (scene) => {
      const { rig } = scene;
      const pod = await scene.shared("bridge");
      const endServer = await rig.serve(rig.outside, "serve", "::", "7000", "outside");
      const end = await rig.serve(rig.outside, "capture", "eth0", LONG);
      await pod.probe("get", OUTSIDE.v4, "7000", "5");
      const frames = await end();
      await endServer();
      return answers({
        node: having(frames, "tcp", "10.90.0.1") > 10 ? "seen" : "not seen",
        pod: String(having(frames, pod.v4)),
      });
    },
  },
  {
    name: "a capture: a forged sender's MAC passes a bridge without anti-spoofing",
    run: (scene) => forged(scene, "bridge"),
  },
  {
    name: "a capture: a forged sender's MAC is stopped by the bridge's macspoofchk",
    run: (scene) => forged(scene, "guarded"),
  },
  {
    name: "a capture: the guest sends nothing by itself but what its neighbours need",
    run: async (scene) => {
      const { rig } = scene;
      const pod = await scene.start("ptp");
      const end = await rig.serve(rig.host, "capture", await hostLinkOf(pod), LONG);
      await rig.probe(rig.host, "get", pod.v4, String(PORTS.tcp));
      await new Promise((resolve) => setTimeout(resolve, 3000));
      const frames = await end();
      const kinds = new Set(frames.split("\n").map((line) => line.split(" ")[4] ?? ""));
      return (
        [...kinds].filter((kind) => !["", "arp", "icmp6", "igmp", "tcp"].includes(kind)).join(",") ||
        "nothing else"
      );
    },
  },
];
