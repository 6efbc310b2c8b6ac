/**
 * Keeps a chain's layers while they are read: a view of the chain, a snapshot of our own, held by a lease of our own.
 *
 * containerd removes no snapshot that has a child, and collects what no lease holds (core/metadata/gc.go). The lease
 * expires, and it names the process that made it: pid and start time. So a view outlives neither its lease nor, once
 * somebody tidies up, its process. Must not touch a lease that has no such name.
 */
import { BlazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { Chain, OpenChain } from "../../contracts/snapshots.ts";
import { isAlive, type ProcessKey, processStat } from "../../lib/processes/processes.ts";
import { LeasesService } from "../generated/containerd/services/leases/v1/leases.ts";
import { SnapshotsService } from "../generated/containerd/services/snapshots/v1/snapshots.ts";
import type { ContainerdConnection } from "./connection.ts";

const PREFIX = "blazar-image-";
const ID_BYTES = 8;
const EXPIRY_LABEL = "containerd.io/gc.expire";
const OWNER_LABEL = "io.blazar.owner";
const SNAPSHOTTER_LABEL = "io.blazar.snapshotter";
const OWNER = /^(\d{1,10})\.(\d{1,20})$/;

export interface ViewsOptions {
  readonly connection: Pick<ContainerdConnection, "call">;
  readonly logger: Logger;
  /** A lease ends by itself after so long: longer than anybody reads layers. */
  readonly expiryMs: number;
  readonly now: () => number;
  readonly randomHex: (bytes: number) => string;
}

export class ChainViews {
  /** Ids of leases that containerd would not take back. */
  private readonly left = new Set<string>();

  constructor(private readonly options: ViewsOptions) {}

  async view({ snapshotter, name }: Chain, signal: AbortSignal | undefined): Promise<OpenChain> {
    const { connection, expiryMs, now, randomHex } = this.options;
    const id = `${PREFIX}${randomHex(ID_BYTES)}`;
    const labels = {
      // containerd's leases.WithExpiration writes it to the second as well
      [EXPIRY_LABEL]: new Date(now() + expiryMs).toISOString().replace(/\.\d+Z$/, "Z"),
      [OWNER_LABEL]: await thisProcess(),
      [SNAPSHOTTER_LABEL]: snapshotter,
    };
    try {
      await connection.call(LeasesService.create, { id, labels }, { signal });
      const request = { snapshotter, key: id, parent: name, labels: {} };
      const { mounts } = await connection.call(SnapshotsService.view, request, { signal, lease: id });
      return { mounts, release: () => this.release(id, snapshotter) };
    } catch (error) {
      // a call that was given up may have been carried out
      await this.release(id, snapshotter);
      throw error;
    }
  }

  /** Gives back what ended processes held, and what this one could not give back before. */
  async tidy(signal: AbortSignal | undefined): Promise<void> {
    const filters = [`labels.${JSON.stringify(OWNER_LABEL)}`];
    const { leases } = await this.options.connection.call(LeasesService.list, { filters }, { signal });
    const own = await thisProcess();
    for (const { id, labels } of leases) {
      const owner = labels[OWNER_LABEL] ?? "";
      const needed = owner === own ? !this.left.has(id) : await runs(owner);
      if (needed) continue;
      await this.release(id, labels[SNAPSHOTTER_LABEL] ?? "");
    }
  }

  private async release(id: string, snapshotter: string): Promise<void> {
    const { connection, logger } = this.options;
    try {
      // no signal: this is what has to be done after an abort
      await unlessGone(connection.call(SnapshotsService.remove, { snapshotter, key: id }));
      await unlessGone(connection.call(LeasesService.delete, { id, sync: false }));
      this.left.delete(id);
    } catch (err) {
      this.left.add(id);
      logger.debug(
        { err, lease: id },
        "a view of layers could not be given back: it is tried again, or expires",
      );
    }
  }
}

async function unlessGone(work: Promise<unknown>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!(error instanceof BlazarError && error.code === "RemoteNotFound")) throw error;
  });
}

async function thisProcess(): Promise<string> {
  const stat = await processStat(process.pid);
  return `${process.pid}.${stat?.startTime ?? 0}`;
}

async function runs(owner: string): Promise<boolean> {
  const [, pid, startTime] = OWNER.exec(owner) ?? [];
  const key: ProcessKey = { pid: Number(pid), startTime: Number(startTime) };
  return pid !== undefined && (await isAlive(key));
}
