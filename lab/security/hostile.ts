/** The pod that attacks come from: made anew for each, and removed after it, whatever state it is in. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { hostNetworkPod, removePod } from "../node/pods.ts";
import type { PrivateNode } from "../node/private-node.ts";
import type { HostilePod } from "./attack.ts";

export class Hostile {
  private current: HostilePod | undefined;
  private number = 0;

  constructor(
    private readonly node: PrivateNode,
    private readonly image: string,
  ) {}

  /** The pod of the attack that goes on. */
  get pod(): HostilePod {
    if (this.current === undefined) throw new Error("this attack has asked for no pod");
    return this.current;
  }

  async make(): Promise<void> {
    const { cri, directory } = this.node;
    const name = `hostile${this.number++}`;
    const logDirectory = join(directory, "logs", name);
    await mkdir(logDirectory, { recursive: true });
    const config = hostNetworkPod(name, { logDirectory });
    const pod = await cri.runPodSandbox(config, "blazar");
    this.current = { pod, container: "" };
    const spec = {
      metadata: { name, attempt: 0 },
      image: { image: this.image },
      command: ["/bin/sleep", "1000000"],
      logPath: "log",
    };
    const container = await cri.createContainer(pod, spec, config);
    await cri.startContainer(container);
    this.current = { pod, container };
  }

  /** That it can be removed is part of what has to hold. */
  async remove(): Promise<void> {
    const { current } = this;
    this.current = undefined;
    if (current !== undefined) await removePod(this.node.cri, current.pod);
  }
}
