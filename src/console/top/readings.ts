/**
 * What `blazar top` has read of a daemon last, and why there is nothing newer: a daemon that restarts is back soon.
 */
import type { BlazarError } from "../../contracts/errors.ts";
import { reasonOf } from "../../contracts/errors.ts";
import { harmless } from "../../lib/harmless.ts";
import { type Asked, isGone } from "../asked.ts";
import { type UsageRow, usageRows } from "./usage-table.ts";

export type Daemon = Pick<Asked, "node" | "list" | "usage">;

export interface Reading {
  readonly node: Awaited<ReturnType<Daemon["node"]>>;
  readonly usage: Awaited<ReturnType<Daemon["usage"]>>;
  readonly sandboxes: Awaited<ReturnType<Daemon["list"]>>;
}

export async function read(daemon: Daemon): Promise<Reading> {
  const [node, usage, sandboxes] = await Promise.all([daemon.node(), daemon.usage([]), daemon.list()]);
  return { node, usage, sandboxes: sandboxes.filter(({ endedAt }) => endedAt === undefined) };
}

export class Readings {
  rows: readonly UsageRow[];
  /** Undefined: what is shown is new. */
  problem: string | undefined;

  private constructor(
    private readonly daemon: Daemon,
    public last: Reading,
  ) {
    this.rows = usageRows(last.sandboxes, [], last.usage);
  }

  static async begin(daemon: Daemon): Promise<Readings> {
    return new Readings(daemon, await read(daemon));
  }

  /** Rejects if the daemon refuses; that it is away is {@link problem}. */
  async next(): Promise<void> {
    try {
      const next = await read(this.daemon);
      this.rows = usageRows(next.sandboxes, this.last.usage, next.usage);
      this.last = next;
      this.problem = undefined;
    } catch (error) {
      if (!isGone(error)) throw error;
      this.problem = waiting(error);
    }
  }
}

function waiting(error: BlazarError): string {
  return `${harmless(reasonOf(error))}; waiting for it`;
}
