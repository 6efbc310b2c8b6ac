/**
 * Cases: probes and services. Who reaches whom, and as whom.
 */
import { Protocol } from "../../../src/rpc/generated/runtime/v1/cri.ts";
import { answers, type NetworkCase } from "../case.ts";
import { NODE, OUTSIDE } from "../lab-network.ts";
import { PORTS } from "../network-pod.ts";

const TCP = String(PORTS.tcp);
const UDP = String(PORTS.udp);

export const TRAFFIC_CASES: readonly NetworkCase[] = [
  ...(["bridge", "ptp"] as const).map(
    (kind): NetworkCase => ({
      name: `the host reaches a pod of ${kind}: TCP, UDP, refused ports`,
      run: async (scene) => {
        const { rig } = scene;
        const pod = await scene.shared(kind);
        return answers({
          v4: rig.probe(rig.host, "get", pod.v4, TCP),
          v6: rig.probe(rig.host, "get", pod.v6, TCP),
          udp4: rig.probe(rig.host, "udp", pod.v4, UDP),
          udp6: rig.probe(rig.host, "udp", pod.v6, UDP),
          refused4: rig.probe(rig.host, "get", pod.v4, String(PORTS.refused)),
          refused6: rig.probe(rig.host, "get", pod.v6, String(PORTS.refused)),
          refusedUdp: rig.probe(rig.host, "udp", pod.v4, String(PORTS.refused)),
          local: rig.probe(rig.host, "get", pod.v4, String(PORTS.local4)),
        });
      },
    }),
  ),
  {
    name: "a machine of the LAN reaches a pod of macvlan, and the pod reaches it",
    run: async (scene) => {
      const { rig } = scene;
      const pod = await scene.shared("macvlan");
      const end = await rig.serve(rig.outside, "serve", "::", "7000", "outside");
      const said = await answers({
        in4: rig.probe(rig.outside, "get", pod.v4, TCP),
        in6: rig.probe(rig.outside, "get", pod.v6, TCP),
        out4: pod.probe("get", OUTSIDE.v4, "7000"),
        out6: pod.probe("get", OUTSIDE.v6, "7000"),
      });
      await end();
      return pod.tidy(said);
    },
  },
  {
    name: "pods reach each other, on one bridge and across networks, and see who asks",
    run: async (scene) => {
      const [one, other, far] = [
        await scene.shared("bridge"),
        await scene.shared("bridge", "other"),
        await scene.shared("ptp"),
      ];
      const said = await answers({
        v4: one.probe("get", other.v4, TCP),
        v6: one.probe("get", other.v6, TCP),
        udp: one.probe("udp", other.v4, UDP),
        far4: one.probe("get", far.v4, TCP),
        far6: far.probe("get", one.v6, TCP),
        itself: one.probe("get", one.v4, TCP),
      });
      return said
        .replaceAll(one.v4, "ONE4")
        .replaceAll(one.v6, "ONE6")
        .replaceAll(other.v4, "OTHER4")
        .replaceAll(far.v6, "FAR6");
    },
  },
  {
    name: "a pod reaches the host, the outside (as the host, where plugins masquerade), and no port that is closed",
    run: async (scene) => {
      const { rig } = scene;
      const pod = await scene.shared("bridge");
      const ends = [
        await rig.serve(rig.host, "serve", "::", "7001", "host"),
        await rig.serve(rig.outside, "serve", "::", "7000", "outside"),
        await rig.serve(rig.outside, "serve-udp", "0.0.0.0", "7002", "outside"),
      ];
      const said = await answers({
        host4: pod.probe("get", NODE.v4, "7001"),
        host6: pod.probe("get", NODE.v6, "7001"),
        outside4: pod.probe("get", OUTSIDE.v4, "7000"),
        outside6: pod.probe("get", OUTSIDE.v6, "7000"),
        udp: pod.probe("udp", OUTSIDE.v4, "7002"),
        closed: pod.probe("get", OUTSIDE.v4, "7009"),
        ping: pod.exec(`ping -c1 -W10 ${OUTSIDE.v4} > /dev/null && echo answered`),
        ping6: pod.exec(`ping6 -c1 -W10 ${OUTSIDE.v6} > /dev/null && echo answered`),
        large: pod.exec(`ping -c1 -W10 -s 8000 ${OUTSIDE.v4} > /dev/null && echo answered`),
      });
      for (const end of ends) await end();
      return pod.tidy(said);
    },
  },
  {
    name: "hostPort by portmap: from the host, from the outside, from the pod itself",
    run: async (scene) => {
      const { rig } = scene;
      const portMappings = [
        { protocol: Protocol.TCP, hostPort: 30_080, containerPort: PORTS.tcp, hostIp: "" },
        { protocol: Protocol.UDP, hostPort: 30_081, containerPort: PORTS.udp, hostIp: "" },
      ];
      const pod = await scene.start("bridge", { portMappings });
      const said = await answers({
        host: rig.probe(rig.host, "get", NODE.v4, "30080"),
        outside4: rig.probe(rig.outside, "get", NODE.v4, "30080"),
        outside6: rig.probe(rig.outside, "get", NODE.v6, "30080"),
        udp: rig.probe(rig.outside, "udp", NODE.v4, "30081"),
        itself: pod.probe("get", NODE.v4, "30080"),
        localhost: rig.probe(rig.host, "get", "127.0.0.1", "30080"),
      });
      return (await pod.tidy(said)).replaceAll(/from 10\.100\.\d+\.1$/gm, "from GATEWAY4");
    },
  },
  {
    name: "much data arrives whole, both ways, with half-closed connections",
    run: async (scene) => {
      const { rig } = scene;
      const [one, other] = [await scene.shared("bridge"), await scene.shared("bridge", "other")];
      return answers({
        hostToPod: rig.probe(rig.host, "half", one.v4, TCP, "20000000"),
        podToPod: one.probe("half", other.v4, TCP, "20000000"),
        podToPod6: one.probe("half", other.v6, TCP, "5000000"),
        many: rig.probe(rig.host, "many", one.v4, TCP, "200"),
      });
    },
  },
  {
    name: "a pod's first packet gets through at once: the address is announced or answered for",
    run: async (scene) => {
      const { rig } = scene;
      const pod = await scene.start("bridge");
      const begin = performance.now();
      return answers({
        v4: rig.probe(rig.host, "get", pod.v4, TCP),
        v6: rig.probe(rig.host, "get", pod.v6, TCP),
        inTime: performance.now() - begin < 5_000 ? "yes" : "no",
      });
    },
  },
];
