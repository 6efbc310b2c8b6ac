/**
 * Follows one pod's network: looks at it again whenever something may have changed, and tells what has.
 *
 * The keeper tells of changes in the namespace, and its directory's watcher of a namespace that was removed. One look is under
 * way at a time, and one more follows if something came meanwhile. A network that is gone is told once, and ends the watch.
 */
import type { Keeper } from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { NetworkChange, NetworkedPod } from "../../contracts/network.ts";
import type { PodNetwork } from "../../contracts/pod-network.ts";
import type { Joined } from "../../workers/network/join.ts";
import type { NetworkLook } from "../../workers/network/read.ts";
import type { NetworkTasks } from "../../workers/network/tasks.ts";
import type { TaskRunner } from "../storage/worker-pool.ts";
import type { Directories } from "./directories.ts";

interface NetworkWatchPorts {
  readonly keeper: Pick<Keeper, "watchNetwork" | "unwatchNetwork">;
  readonly workers: TaskRunner<NetworkTasks>;
  readonly directories: Directories;
  readonly logger: Logger;
}

export class NetworkWatch {
  private stopped = false;
  private looking = false;
  private again = false;
  /** As text: what the guest was told last. */
  private told: string;
  private warned = "";
  private readonly unwatchDirectory: () => void;

  constructor(
    private readonly ports: NetworkWatchPorts,
    private readonly pod: NetworkedPod,
    private readonly joined: Joined,
    network: PodNetwork,
    private readonly onChange: (change: NetworkChange) => void,
  ) {
    this.told = JSON.stringify(network);
    this.unwatchDirectory = ports.directories.watch(pod.netnsPath, () => this.look());
    void this.begin();
  }

  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    this.unwatchDirectory();
    this.ports.keeper
      .unwatchNetwork(this.pod.id)
      .catch((error: unknown) =>
        this.ports.logger.debug({ err: error }, "the keeper still watches a network"),
      );
  }

  private async begin(): Promise<void> {
    const { keeper, logger } = this.ports;
    const { id, netnsPath } = this.pod;
    try {
      await keeper.watchNetwork(id, netnsPath, () => this.look());
    } catch (error) {
      if (!this.stopped) logger.warn({ err: error }, "changes of the pod's network are not followed");
    }
    // what has changed since it was read
    this.look();
  }

  private look(): void {
    this.again = true;
    if (this.looking || this.stopped) return;
    this.looking = true;
    void this.lookWhileAsked().finally(() => {
      this.looking = false;
    });
  }

  private async lookWhileAsked(): Promise<void> {
    while (this.again && !this.stopped) {
      this.again = false;
      try {
        const look = await this.ports.workers.run("lookAgain", { path: this.pod.netnsPath, ...this.joined });
        if (!this.stopped) this.found(look);
      } catch (error) {
        this.ports.logger.warn({ err: error }, "the pod's network could not be read again");
      }
    }
  }

  private found(look: NetworkLook): void {
    if (look.kind === "gone") {
      this.stop();
      this.onChange(look);
      return;
    }
    this.warnOf(look.beside);
    const text = JSON.stringify(look.network);
    if (text === this.told) return;
    this.told = text;
    this.onChange({ kind: "changed", network: look.network });
  }

  private warnOf(links: readonly string[]): void {
    const text = links.join(", ");
    if (text === this.warned) return;
    this.warned = text;
    if (text !== "") this.ports.logger.warn({ links }, "links that came later are not in the pod's VM");
  }
}
