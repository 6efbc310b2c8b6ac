/**
 * What the daemon knows of the keeper's children: who they are, how they ended, who waits for that.
 *
 * It learns from the keeper's hello and `process.exited` events. The keeper stays the only source of truth, and a record here
 * lives as long as the keeper's. It sends nothing.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { KeeperInventory, ProcessExit, ProcessIdentity } from "../../contracts/keeper.ts";

interface KnownProcess {
  identity?: ProcessIdentity;
  exit?: ProcessExit;
  readonly waiters: { resolve(exit: ProcessExit): void; reject(error: BlazarError): void }[];
}

export class KeeperProcesses {
  private readonly known = new Map<string, KnownProcess>();

  /** An id is given again when the keeper has forgotten who had it; that answer may be read after this one. */
  started(id: string, identity: ProcessIdentity): void {
    const before = this.known.get(id)?.identity;
    if (before !== undefined && !isSame(before, identity)) this.forgetting(id)();
    this.record(id).identity = identity;
  }

  ended(exit: ProcessExit): void {
    const record = this.record(exit.id);
    if (record.exit !== undefined) return;
    record.exit = exit;
    for (const waiter of record.waiters.splice(0)) waiter.resolve(exit);
  }

  exited(id: string): Promise<ProcessExit> {
    const record = this.known.get(id);
    if (record === undefined) return Promise.reject(notFound(id, "the keeper does not know it"));
    if (record.exit !== undefined) return Promise.resolve(record.exit);
    return new Promise((resolve, reject) => record.waiters.push({ resolve, reject }));
  }

  /** Returns what is to be called once the keeper has forgotten it. A later process of the same id is kept then. */
  forgetting(id: string): () => void {
    const record = this.known.get(id);
    return () => {
      if (record === undefined || this.known.get(id) !== record) return;
      this.known.delete(id);
      const error = notFound(id, "it was forgotten");
      for (const waiter of record.waiters.splice(0)) waiter.reject(error);
    };
  }

  /** Those that run, as far as is known. */
  running(): (ProcessIdentity & { readonly id: string })[] {
    return this.inventory().flatMap(({ id, identity, exit }) =>
      exit === undefined ? [{ id, ...identity }] : [],
    );
  }

  /** Nobody will ever say how these ended. */
  lost(error: BlazarError): void {
    const records = [...this.known.values()];
    this.known.clear();
    for (const record of records) for (const waiter of record.waiters) waiter.reject(error);
  }

  inventory(): KeeperInventory["processes"] {
    const processes = [];
    for (const [id, { identity, exit }] of this.known) {
      if (identity !== undefined) processes.push({ id, identity, ...(exit === undefined ? {} : { exit }) });
    }
    return processes;
  }

  private record(id: string): KnownProcess {
    let record = this.known.get(id);
    if (record === undefined) {
      record = { waiters: [] };
      this.known.set(id, record);
    }
    return record;
  }
}

function isSame(one: ProcessIdentity, other: ProcessIdentity): boolean {
  return one.pid === other.pid && one.startTime === other.startTime;
}

function notFound(subject: string, reason: string): BlazarError {
  return blazarError("ProcessNotFound", "wait for a process", reason, { subject });
}
