/**
 * What becomes of the node when its keeper dies: the truth for containerd, and a node that works on.
 *
 * VMs outlive their keeper. What has gone with it is what it held: containerd's connections, the containers' streams, taps that
 * wait for a pod, the ways to have a VM fork. So running sandboxes stay, their containers end, and VMs ahead are made anew. See
 * docs/adr, 25.
 */
import type { Logger } from "../../contracts/logger.ts";
import type { Container } from "../container/container.actor.ts";
import type { ContainerRegistry } from "../container/container-registry.ts";
import { LostContainers } from "../container/lost-containers.ts";
import type { SandboxEntry } from "./entry.ts";
import type { SandboxRegistry } from "./registry.ts";

/** Makes VMs ahead. */
export interface AheadOfPods {
  /** Ends those that there are, and makes others. */
  renew(): void;
}

export interface KeeperDeathPorts {
  readonly sandboxes: Pick<SandboxRegistry, "ids" | "entry">;
  readonly containers: ContainerRegistry;
  readonly ahead: readonly AheadOfPods[];
  readonly logger: Logger;
}

const REMEDY =
  "nothing has to be done: whoever runs the pod starts its containers again, in the same sandbox";

export class KeeperDeath {
  private readonly lost: LostContainers;

  constructor(private readonly ports: KeeperDeathPorts) {
    this.lost = new LostContainers(ports);
  }

  /** It has died just now. What containerd makes from here on, it makes by the next keeper. */
  happened(): void {
    const { sandboxes, containers, ahead } = this.ports;
    for (const each of ahead) each.renew();
    for (const id of sandboxes.ids())
      void this.bereave(sandboxes.entry(id), containers.of(id), "the keeper has died");
  }

  /**
   * A starting daemon finds that the keeper does not have these containers' streams: another one had them, and has died. Or they
   * were being deleted, and the deletion goes on by this.
   */
  found(sandboxId: string, lost: readonly Container[]): void {
    if (lost.length === 0) return;
    void this.bereave(this.ports.sandboxes.entry(sandboxId), lost, "an earlier keeper has died");
  }

  private async bereave(
    { sandbox, actor, timeline }: SandboxEntry,
    lost: readonly Container[],
    why: string,
  ): Promise<void> {
    if (actor.getSnapshot().matches("stopped")) return;
    for (const container of lost) container.forsake();
    const ids = lost.map(({ id }) => id);
    const text =
      ids.length === 0 ? why : `containers have ended for containerd (255), ${why}: ${ids.join(", ")}`;
    timeline.noted(text);
    sandbox.history?.note(text);
    if (ids.length === 0) return;
    sandbox.logger.warn(
      { containers: ids, remedy: REMEDY },
      `${why}: its containers have ended, its VM has not`,
    );
    await sandbox.adopted;
    // else they are ended with it
    if (actor.getSnapshot().matches("ready")) await Promise.all(lost.map((each) => this.lost.end(each)));
  }
}
