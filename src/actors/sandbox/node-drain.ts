/**
 * Takes all pods off the node: no new sandbox is taken, and every one that is there is stopped, all at the same time.
 *
 * A stopped sandbox stays known until containerd removes it: the exit codes of its containers can still be asked for. Warm VMs
 * stay; they end with the daemon.
 */
import type { DrainedSandbox, DrainProgress, NodeDrain } from "../../contracts/drain.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { SandboxEntry } from "./entry.ts";
import type { SandboxRegistry } from "./registry.ts";

/** Stop ends by the chart's deadlines, whatever it is told. */
const UNUSED_TIMEOUT_MS = 0;

export class SandboxDrain implements NodeDrain {
  constructor(
    private readonly sandboxes: Pick<SandboxRegistry, "ids" | "entry" | "stop" | "takesNew">,
    private readonly logger: Logger,
  ) {}

  async drain(onProgress: (progress: DrainProgress) => void): Promise<void> {
    this.sandboxes.takesNew = false;
    const running = this.running();
    let left = running.length;
    this.logger.info({ sandboxes: left }, "draining: new pods are refused, all sandboxes are ended");
    onProgress({ ended: undefined, left });
    const end = async (entry: SandboxEntry) => {
      // containerd may have removed it meanwhile
      await this.sandboxes.stop(entry.sandbox.id, UNUSED_TIMEOUT_MS).catch(() => undefined);
      onProgress({ ended: summaryOf(entry), left: --left });
    };
    await Promise.all(running.map(end));
    this.logger.info({}, "drained: no sandbox runs");
  }

  left(): DrainedSandbox[] {
    return this.running().map(summaryOf);
  }

  undrain(): void {
    if (this.sandboxes.takesNew) return;
    this.sandboxes.takesNew = true;
    this.logger.info({}, "new pods are taken again");
  }

  private running(): SandboxEntry[] {
    return this.sandboxes
      .ids()
      .map((id) => this.sandboxes.entry(id))
      .filter(({ actor }) => !actor.getSnapshot().matches("stopped"));
  }
}

function summaryOf({ sandbox, state, actor }: SandboxEntry): DrainedSandbox {
  const { id, spec } = sandbox;
  const leftovers = actor.getSnapshot().context.leftovers.join(", ");
  return { id, pod: { name: spec.name, namespace: spec.namespace }, state, leftovers };
}
