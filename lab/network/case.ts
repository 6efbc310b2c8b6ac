/**
 * A case of the network tests: what a pod's network does, which must be the same under blazar as under runc.
 */
import { reasonOf } from "../../src/contracts/errors.ts";
import type { ContainerConfig, Handler, PodConfig } from "../fidelity/handler-pod.ts";
import { PodCgroup } from "../host/pod-cgroup.ts";
import { until } from "../host/until.ts";
import type { Kind } from "./kinds.ts";
import { NetworkPod } from "./network-pod.ts";
import type { NetworkRig } from "./rig.ts";

export interface NetworkCase {
  /** A sentence's beginning: `a server answers the host`. */
  readonly name: string;
  /** What is compared. Must not differ from run to run. */
  readonly run: (scene: Scene) => Promise<string>;
  /** Why the answers may differ; docs/specification.md says it, too. */
  readonly explained?: string;
  /** What blazar must answer, where the answers may differ: a wrong one is a difference all the same. */
  readonly blazar?: RegExp;
  /** It ends the daemon, and with it what other cases share. */
  readonly endsDaemon?: true;
}

/** A pod that has not ended by then goes on. */
const SETTLED_MS = 10_000;

/** The pods that cases of one handler share. */
export class SharedPods {
  private readonly pods = new Map<string, Promise<NetworkPod>>();

  constructor(
    readonly rig: NetworkRig,
    readonly handler: Handler,
  ) {}

  /** The pod of this kind that all cases use and none changes. @param which another of the same kind */
  get(kind: Kind, which: "one" | "other" = "one"): Promise<NetworkPod> {
    const key = `${kind} ${which}`;
    const found = this.pods.get(key) ?? NetworkPod.start(this.rig, this.handler, kind);
    // one that could not be started is tried again
    found.catch(() => this.pods.delete(key));
    this.pods.set(key, found);
    return found;
  }
}

/** Where a case runs: the rig under one handler. Pods that it starts go with it. */
export class Scene {
  private readonly own: NetworkPod[] = [];
  private readonly cgroups: PodCgroup[] = [];

  constructor(private readonly pods: SharedPods) {}

  get rig(): NetworkRig {
    return this.pods.rig;
  }

  get handler(): Handler {
    return this.pods.handler;
  }

  shared(kind: Kind, which: "one" | "other" = "one"): Promise<NetworkPod> {
    return this.pods.get(kind, which);
  }

  async start(
    kind: Kind | "host",
    config: PodConfig = {},
    container: ContainerConfig = {},
  ): Promise<NetworkPod> {
    const pod = await NetworkPod.start(this.rig, this.handler, kind, config, container);
    this.own.push(pod);
    return pod;
  }

  /** Configuration of a pod with a control group, as kubelet makes one: PodSandboxStats needs it. */
  async cgroup(): Promise<PodConfig> {
    const made = await PodCgroup.make(`blazar-net-${process.pid}-${this.cgroups.length}`, 2 ** 30);
    this.cgroups.push(made);
    return { linux: { cgroupParent: made.path } };
  }

  /** Ends blazard by SIGKILL and starts it again; resolves when containerd reaches it again, with the pod's state. */
  async killDaemon(pod: NetworkPod): Promise<"READY" | "NOTREADY"> {
    const { node } = this.rig;
    await node.restartBlazard({ kill: true });
    const reached = async () => {
      const { status } = await node.cri.podSandboxStatus(pod.id);
      return status;
    };
    await until("containerd's way to blazard", () => reached().catch(() => undefined), { pollMs: 100 });
    // blazard has settled what becomes of the pod before it answers; containerd has yet to be told
    return (await pod.untilNotReady(SETTLED_MS)) ? "NOTREADY" : "READY";
  }

  async end(): Promise<void> {
    await this.rig.network.endServers();
    await Promise.all(this.own.map((pod) => pod.remove().catch(() => undefined)));
    await Promise.all(this.cgroups.map((each) => each.remove().catch(() => undefined)));
  }
}

/** Lines of a name and an answer; what has failed is an answer as well. */
export async function answers(all: Readonly<Record<string, Promise<string> | string>>): Promise<string> {
  const lines = Object.entries(all).map(async ([name, answer]) => {
    const said = await Promise.resolve(answer).catch((error: unknown) => `failed: ${reasonOf(error)}`);
    return `${name}: ${said}`;
  });
  return (await Promise.all(lines)).join("\n");
}
