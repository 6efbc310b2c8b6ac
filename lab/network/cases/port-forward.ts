/**
 * Cases: port-forward. containerd dials localhost in the pod's namespace; a guest's loopback is another one.
 */
import { reasonOf } from "../../../src/contracts/errors.ts";
import { answers, type NetworkCase, type Scene } from "../case.ts";
import { type NetworkPod, PORTS } from "../network-pod.ts";

/** What the server at a port of a pod says by port-forward. */
export async function forwarded(scene: Scene, pod: NetworkPod, port: number): Promise<string> {
  const connection = await scene.rig.node.cri.portForward(pod.id, port);
  try {
    connection.write("hello\n");
    const line = await connection.line();
    return line.startsWith("failed: ") ? "refused" : line.replace(/ from \S+$/, "");
  } finally {
    connection.close();
  }
}

/** How long somebody waits for an answer that comes at once, on a machine that has much to do. */
const AT_ONCE_MS = 5_000;

/** The same of a pod that does not run any more: CRI's words for it, and whether they come at once. */
async function refusedWhenEnded(scene: Scene, pod: NetworkPod): Promise<string> {
  const begin = performance.now();
  const said = await forwarded(scene, pod, PORTS.tcp).catch((error: unknown) =>
    /not running/.test(reasonOf(error)) ? "refused" : reasonOf(error),
  );
  return `${said} ${performance.now() - begin < AT_ONCE_MS ? "at once" : "late"}`;
}

/** What becomes of a connection whose pod ends. */
async function openWhenEnds(scene: Scene, pod: NetworkPod): Promise<string> {
  const { cri } = scene.rig.node;
  // the server waits for a first byte
  const connection = await cri.portForward(pod.id, PORTS.tcp);
  try {
    const line = connection.line();
    await cri.stopPodSandbox(pod.id);
    const begin = performance.now();
    const said = (await line).replace(/^failed: .*$/s, "closed");
    return `${said} ${performance.now() - begin < AT_ONCE_MS ? "at once" : "late"}`;
  } finally {
    connection.close();
  }
}

/** The guest is asked when the connection is made already: a refusal comes as a reset. */
async function refusedBy(said: Promise<string>): Promise<string> {
  return (await said).replace(/^(connect: refused|talk: reset)$/, "refused");
}

export const PORT_FORWARD_CASES: readonly NetworkCase[] = [
  {
    name: "port-forward: servers on all addresses, on 127.0.0.1 only and on ::1 only",
    run: async (scene) => {
      const pod = await scene.shared("bridge");
      return answers({
        all: forwarded(scene, pod, PORTS.tcp),
        only4: forwarded(scene, pod, PORTS.local4),
        only6: forwarded(scene, pod, PORTS.local6),
      });
    },
    explained:
      "containerd asks the host's /etc/hosts what localhost is, where ::1 may be missing; a guest is asked for both",
    blazar: /^all: pod\nonly4: local4\nonly6: local6$/,
  },
  {
    name: "port-forward: a refused port is an error at once",
    run: async (scene) => {
      const pod = await scene.shared("bridge");
      const begin = performance.now();
      const said = await forwarded(scene, pod, PORTS.refused);
      return `${said}, ${performance.now() - begin < AT_ONCE_MS ? "at once" : "late"}`;
    },
  },
  {
    name: "port-forward to a pod whose namespace has nothing but lo",
    run: async (scene) => {
      const pod = await scene.start("lonely");
      return answers({
        only4: forwarded(scene, pod, PORTS.local4),
        refused: forwarded(scene, pod, PORTS.refused),
      });
    },
  },
  {
    name: "port-forward: a hundred connections at once",
    run: async (scene) => {
      const pod = await scene.shared("bridge");
      const said = await Promise.all(Array.from({ length: 100 }, () => forwarded(scene, pod, PORTS.local4)));
      const counts = new Map<string, number>();
      for (const each of said) counts.set(each, (counts.get(each) ?? 0) + 1);
      return [...counts].map(([answer, count]) => `${count} ${answer}`).join("\n");
    },
  },
  {
    name: "localhost in the namespace: half-closed connections, much data, a hundred at once",
    run: async (scene) => {
      const pod = await scene.shared("bridge");
      const probe = (...args: string[]) => scene.rig.probe(pod.netns, ...args);
      const [v4, v6] = [String(PORTS.local4), String(PORTS.local6)];
      const refused = String(PORTS.refused);
      return answers({
        half: await probe("half", "127.0.0.1", v4, "1000000"),
        half6: await probe("half", "::1", v6, "1000000"),
        hundred: await probe("many", "127.0.0.1", v4, "100"),
        refused: await refusedBy(probe("get", "127.0.0.1", refused)),
        refused6: await refusedBy(probe("get", "::1", refused)),
        again: await probe("get", "127.0.0.1", v4, "200"),
      });
    },
  },
  {
    name: "port-forward after the daemon's death",
    run: async (scene) => {
      const pod = await scene.start("bridge");
      await scene.killDaemon(pod);
      return answers({
        only4: forwarded(scene, pod, PORTS.local4),
        host: scene.rig.probe(scene.rig.host, "get", pod.v4, String(PORTS.tcp)),
      });
    },
    endsDaemon: true,
  },
  {
    name: "port-forward to a pod that has ended is refused, and one that is open ends with its pod",
    run: async (scene) => {
      const pod = await scene.start("bridge");
      const open = await openWhenEnds(scene, pod);
      return answers({ open, new: refusedWhenEnded(scene, pod) });
    },
  },
];
