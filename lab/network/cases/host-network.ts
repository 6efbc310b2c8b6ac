/**
 * Cases: hostNetwork. The host's addresses, its way out, and the ports that a pod's containers declare.
 */
import { reasonOf } from "../../../src/contracts/errors.ts";
import { Protocol } from "../../../src/rpc/generated/runtime/v1/cri.ts";
import type { PodConfig } from "../../fidelity/handler-pod.ts";
import { until } from "../../host/until.ts";
import { answers, type NetworkCase, type Scene } from "../case.ts";
import { NODE, OUTSIDE } from "../lab-network.ts";
import type { NetworkPod } from "../network-pod.ts";
import { forwarded } from "./port-forward.ts";

/** As kubelet tells the ports of a hostNetwork pod's containers. */
function declaring(...ports: readonly number[]): PodConfig {
  return {
    portMappings: ports.map((port) => ({
      protocol: Protocol.TCP,
      hostPort: port,
      containerPort: port,
      hostIp: "",
    })),
  };
}

/** Starts a server in the pod; resolves when it answers there. */
async function serving(pod: NetworkPod, port: number, word: string): Promise<void> {
  await pod.container(`exec netprobe serve :: ${port} ${word}`);
  const answers = async () =>
    (await pod.probe("get", "127.0.0.1", String(port))).startsWith(word) ? true : undefined;
  await until(`the server at port ${port}`, answers, { pollMs: 100 });
}

async function twice(scene: Scene): Promise<string> {
  const server = "netprobe serve :: 9100 first > /dev/null";
  const first = await scene.start("host", declaring(9100));
  await first.container(server);
  try {
    const second = await scene.start("host", declaring(9100));
    return (await second.exec("netprobe serve :: 9100 second")).replace(/\n.*/s, "");
  } catch (error) {
    return /9100/.test(reasonOf(error)) ? "an error that names the port" : reasonOf(error);
  }
}

export const HOST_NETWORK_CASES: readonly NetworkCase[] = [
  {
    name: "hostNetwork: the host's addresses, name servers and name are the pod's",
    run: async (scene) => {
      const pod = await scene.start("host");
      const seen = await pod.probe("show");
      return answers({
        v4: String(seen.includes(`address ${NODE.v4}/24`)),
        v6: String(seen.includes(`address ${NODE.v6}/64`)),
        route: String(/^route 0\.0\.0\.0\/0 via 10\.90\.0\.2 /m.test(seen)),
        loopback: pod.probe("get", "127.0.0.1", "8090"),
      });
    },
  },
  {
    name: "hostNetwork: out by TCP, UDP and ICMP echo, as the host; a closed port is refused",
    run: async (scene) => {
      const { rig } = scene;
      const ends = [
        await rig.serve(rig.outside, "serve", "::", "7000", "outside"),
        await rig.serve(rig.outside, "serve-udp", "0.0.0.0", "7002", "outside"),
      ];
      const pod = await scene.start("host");
      const said = await answers({
        tcp4: pod.probe("get", OUTSIDE.v4, "7000"),
        tcp6: pod.probe("get", OUTSIDE.v6, "7000"),
        udp: pod.probe("udp", OUTSIDE.v4, "7002"),
        ping: pod.exec(`ping -c1 -W10 ${OUTSIDE.v4} > /dev/null && echo answered`),
        closed: pod.probe("get", OUTSIDE.v4, "7009"),
        half: pod.probe("half", OUTSIDE.v4, "7000", "3000000"),
      });
      for (const end of ends) await end();
      return said;
    },
  },
  {
    name: "hostNetwork: what the host itself serves is reached at the host's address",
    run: async (scene) => {
      const { rig } = scene;
      const end = await rig.serve(rig.host, "serve", "::", "7003", "host");
      const pod = await scene.start("host");
      const said = await answers({
        lan: pod.probe("get", NODE.v4, "7003"),
        loopback: pod.probe("get", "127.0.0.1", "7003"),
      });
      await end();
      return said;
    },
    explained:
      "the guest has a loopback of its own, and the host's address is the guest's: what the host serves is not there",
  },
  {
    name: "hostNetwork: declared ports answer at the host's addresses, from the outside and from the host",
    run: async (scene) => {
      const { rig } = scene;
      const pod = await scene.start("host", declaring(9100));
      await serving(pod, 9100, "declared");
      const said = await answers({
        outside4: rig.probe(rig.outside, "get", NODE.v4, "9100"),
        outside6: rig.probe(rig.outside, "get", NODE.v6, "9100"),
        host: rig.probe(rig.host, "get", NODE.v4, "9100").then((line) => line.replace(/ from .*/, "")),
        loopback: rig
          .probe(rig.host, "get", "127.0.0.1", "9100")
          .then((line) => line.replace(/ from .*/, "")),
        half: rig.probe(rig.outside, "half", NODE.v4, "9100", "2000000"),
        many: rig.probe(rig.outside, "many", NODE.v4, "9100", "50"),
      });
      return said;
    },
  },
  {
    name: "hostNetwork: port-forward to a declared port",
    run: async (scene) => {
      const pod = await scene.start("host", declaring(9100));
      await serving(pod, 9100, "declared");
      return forwarded(scene, pod, 9100);
    },
  },
  {
    name: "hostNetwork: ports that are not declared",
    run: async (scene) => {
      const pod = await scene.start("host", declaring(9100));
      await serving(pod, 9101, "undeclared");
      return scene.rig.probe(scene.rig.outside, "get", NODE.v4, "9101");
    },
    explained: "only declared ports are handed on to a guest",
    blazar: /refused/,
  },
  {
    name: "hostNetwork: a second pod with the same port",
    run: twice,
    explained: "runc's second server cannot bind; blazar's second pod is refused before it starts",
    blazar: /an error that names the port/,
  },
  {
    name: "hostNetwork: the port is free again after the pod",
    run: async (scene) => {
      const first = await scene.start("host", declaring(9100));
      await scene.rig.node.cri.stopPodSandbox(first.id);
      const second = await scene.start("host", declaring(9100));
      await serving(second, 9100, "again");
      return scene.rig.probe(scene.rig.outside, "get", NODE.v4, "9100");
    },
  },
];
