/**
 * Cases: nothing stays when a pod goes, whatever has ended it.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { allProcesses, descendants, processesOf, programOf } from "../../host/processes.ts";
import { runProgram } from "../../host/program.ts";
import { until } from "../../host/until.ts";
import { podLeftovers } from "../../node/leftovers.ts";
import { NetworkNamespace } from "../../node/network-namespace.ts";
import { answers, type NetworkCase, type Scene } from "../case.ts";
import type { Kind } from "../kinds.ts";
import type { NetworkPod } from "../network-pod.ts";
import type { NetworkRig } from "../rig.ts";

/** What a pod may have made in the node's and the parking namespace, and in its directories. */
async function traces(rig: NetworkRig): Promise<string[]> {
  const [links, qdiscs, rules] = [
    await rig.host.run("ip", "-o", "link"),
    await rig.host.run("tc", "qdisc"),
    await rig.host.run("iptables-save"),
  ];
  const names = [...links.matchAll(/^\d+: ([^:@]+)/gm)].map(([, name]) => `link ${name}`);
  const netns = join(rig.node.containerdDirectory, "state", "io.containerd.grpc.v1.cri", "netns");
  return [
    ...names.filter((name) => !/^link (lo|br-|lan0|ifb)/.test(name)),
    ...qdiscs.split("\n").filter((line) => /clsact|ingress|tbf/.test(line)),
    ...rules.split("\n").filter((line) => /DNAT|CNI-DN/.test(line)),
    ...(await readdir(netns).catch((): string[] => [])).map((name) => `netns ${name}`),
    ...(await parked(rig)),
  ].sort();
}

/** Links that the keeper holds for VMs: a VM that waits has some as well, so only those without a VM count. */
async function parked(rig: NetworkRig): Promise<string[]> {
  const keepers: string[] = [];
  for (const { pid } of await processesOf([rig.node.stateDirectory])) {
    if (!(await programOf(pid)).endsWith("/keeper")) continue;
    for (const fd of await readdir(`/proc/${pid}/fd`).catch((): string[] => [])) {
      const path = `/proc/${pid}/fd/${fd}`;
      const links = await NetworkNamespace.at(path)
        .toEnd("ip", "-o", "link")
        .catch(() => undefined);
      if (links?.code !== 0) continue;
      const taps = [...links.stdout.matchAll(/^\d+: (\S*tap[^:@\s]*)/gm)].length;
      if (taps > 0) keepers.push(`${taps} parked taps`);
    }
  }
  return keepers;
}

async function helpers(rig: NetworkRig): Promise<string[]> {
  const all = await allProcesses();
  const below = descendants(all, [rig.node.blazardPid]);
  return below.filter(({ command }) => /pass(t|ta)\b/.test(command)).map(({ command }) => command);
}

async function gone(
  rig: NetworkRig,
  before: readonly string[],
  pods: readonly NetworkPod[],
): Promise<string> {
  const ids = pods.map(({ id }) => id);
  const look = async (): Promise<string[]> => {
    const now = (await traces(rig)).filter((each) => !before.includes(each));
    // a shim of runc's may outlive a pod whose own process was killed: that is not what is compared
    const left = (await podLeftovers(ids, rig.node)).filter(
      ({ kind, what }) => kind !== "file" && !what.includes("containerd-shim-runc"),
    );
    return [...now, ...left.map(({ kind, what }) => `${kind} ${what}`)];
  };
  let last: string[] = [];
  const nothing = async () => {
    last = await look();
    return last.length === 0 ? true : undefined;
  };
  return until("the end of a pod's traces", nothing, { timeoutMs: 30_000, pollMs: 200 }).then(
    () => "nothing is left",
    () => last.join("\n"),
  );
}

async function untilNotReady(pod: NetworkPod): Promise<string> {
  return (await pod.untilNotReady(20_000)) ? "NOTREADY" : "READY";
}

/** Ends what a pod is: its VMM, or the process that its namespaces rest on. */
async function killSandbox(pod: NetworkPod): Promise<void> {
  const found = await processesOf([pod.id]);
  const own = found.filter(({ command }) => /qemu/.test(command));
  const shims = found.filter(({ command }) => command.includes("containerd-shim"));
  const resting = descendants(
    await allProcesses(),
    shims.map(({ pid }) => pid),
  );
  // runc: the first that the shim has started is what the pod's namespaces rest on
  const [first] = resting.sort((a, b) => a.pid - b.pid);
  for (const { pid } of [...own, ...(first === undefined ? [] : [first])]) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // it has ended with another
    }
  }
}

async function afterwards(
  scene: Scene,
  kind: Kind,
  harm: (pod: NetworkPod) => Promise<unknown>,
): Promise<string> {
  const { rig } = scene;
  const before = await traces(rig);
  const pod = await scene.start(kind);
  await harm(pod);
  const state = await untilNotReady(pod);
  await pod.remove();
  return answers({ state, after: gone(rig, before, [pod]) });
}

export const CLEAN_UP_CASES: readonly NetworkCase[] = [
  {
    name: "nothing is left of pods that are removed: of every kind of network",
    run: async (scene) => {
      const { rig } = scene;
      const before = await traces(rig);
      const pods: NetworkPod[] = [];
      for (const kind of ["bridge", "two", "macvlan", "odd"] as const) pods.push(await scene.start(kind));
      for (const pod of pods) await pod.remove();
      return gone(rig, before, pods);
    },
  },
  {
    name: "nothing is left of a hostNetwork pod, its helper included",
    run: async (scene) => {
      const { rig } = scene;
      const [before, own] = [await traces(rig), await helpers(rig)];
      const pod = await scene.start("host");
      await pod.remove();
      const left = (await helpers(rig)).filter((each) => !own.includes(each));
      return `${await gone(rig, before, [pod])}, ${left.length} helpers`;
    },
  },
  {
    name: "SIGKILL of a pod's own process: NOTREADY, and nothing is left",
    run: (scene) => afterwards(scene, "bridge", killSandbox),
  },
  {
    name: "SIGKILL of the daemon: nothing is left of the pod when it is removed",
    run: async (scene) => {
      const { rig } = scene;
      const before = await traces(rig);
      const pod = await scene.start("bridge");
      const state = await scene.killDaemon(pod);
      const served = await rig.probe(rig.host, "get", pod.v4, "8080");
      await pod.remove();
      return answers({ state, served, after: gone(rig, before, [pod]) });
    },
    endsDaemon: true,
  },
  {
    name: "SIGKILL of the daemon and of the pod's own process: nothing is left when the pod is removed",
    run: async (scene) => {
      const { rig } = scene;
      const before = await traces(rig);
      const pod = await scene.start("bridge");
      await Promise.all([scene.killDaemon(pod), killSandbox(pod)]);
      const state = await untilNotReady(pod);
      await pod.remove();
      return answers({ state, after: gone(rig, before, [pod]) });
    },
    endsDaemon: true,
  },
  {
    name: "the namespace is deleted under a running pod: the pod can be removed, and nothing is left",
    run: async (scene) => {
      const { rig } = scene;
      const before = await traces(rig);
      const pod = await scene.start("bridge");
      await deleteNamespace(pod);
      const state = await untilNotReady(pod);
      await pod.remove();
      return answers({ state, after: gone(rig, before, [pod]) });
    },
    explained: "runc's pod keeps the namespace that its processes are in; blazar's pod has lost its network",
    blazar: /^state: NOTREADY\nafter: nothing is left$/,
  },
  {
    name: "the link is deleted under a running pod: the pod can be removed, and nothing is left",
    run: async (scene) => {
      const { rig } = scene;
      const before = await traces(rig);
      const pod = await scene.start("ptp");
      await pod.netns.ip("link del eth0");
      await pod.untilNotReady(10_000);
      await pod.remove();
      return gone(rig, before, [pod]);
    },
  },
];

/** As an operator does it who takes a namespace for a forgotten one. */
async function deleteNamespace(pod: NetworkPod): Promise<void> {
  const { path } = pod.netns;
  await runProgram("umount", ["--lazy", path]);
  await runProgram("rm", ["-f", path]);
}
