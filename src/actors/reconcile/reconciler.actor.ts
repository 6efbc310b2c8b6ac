/**
 * The reconciler: at the daemon's start and every minute it compares the host, the journals and containerd's list.
 *
 * It does something only about what is provably ours, named by no journal, and seen at two looks in a row. What it does is
 * logged and counted; what it cannot do is told once. A look that fails concludes nothing. One round at a time.
 */
import type { Deadlines } from "../../contracts/deadlines.ts";
import { blazarError, reasonOf } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { Difference, Reconciliation, Reconciling } from "../../contracts/reconcile.ts";
import { pause, withDeadline } from "../../lib/async.ts";
import type { ResourcePorts } from "../resources/kinds/kind.ts";
import { undoResource } from "../resources/kinds/kinds.ts";
import type { Claims } from "./claims.ts";
import type { Found, Look } from "./found.ts";

export interface ReconcilerPorts {
  readonly looks: Readonly<Record<string, Look>>;
  /** What journals name. Throws if they cannot be read: nothing is done then. */
  readonly claims: () => Promise<Claims>;
  readonly undo: ResourcePorts;
  readonly deadlines: Pick<Deadlines, "reconcile">;
  readonly logger: Logger;
  readonly now: () => number;
}

/** Two looks are so far apart at least: what is being made is in a journal, or gone, by then. */
const APART_MS = 2_000;
const INCOMPLETE = "a journal in use cannot be read, or has lines that cannot be read: nothing is removed";
/** Done in one round; the rest waits for the next. */
const MOST_DONE = 64;

interface Seen {
  readonly since: number;
  failed: string;
}

export class Reconciler implements Reconciling {
  /** What was done and what failed so far, by kind. */
  readonly counts = { done: new Map<string, number>(), failed: new Map<string, number>() };
  private seen = new Map<string, Seen>();
  private unknown = new Map<string, string>();
  private last: Promise<unknown> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;
  private readonly closed = new AbortController();

  constructor(private readonly ports: ReconcilerPorts) {}

  /** Differences at the last look. */
  get open(): number {
    return this.seen.size;
  }

  /** Begins with a look at once. @param intervalMs from the end of a look to the next */
  start(intervalMs: number): void {
    const round = async () => {
      await this.inTurn(() => this.round(true)).catch((err: unknown) =>
        this.ports.logger.error({ err }, "the reconciler has failed"),
      );
      if (this.closed.signal.aborted) return;
      this.timer = setTimeout(round, intervalMs);
      this.timer.unref();
    };
    void round();
  }

  /** Waits for what is being done. */
  async close(): Promise<void> {
    this.closed.abort();
    clearTimeout(this.timer);
    await this.last;
  }

  reconcile(fix: boolean): Promise<Reconciliation> {
    return this.inTurn(async () => {
      const first = await this.round(false);
      if (first.differences.length === 0) return first;
      await pause(APART_MS, this.closed.signal);
      return this.round(fix);
    });
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.last.then(work);
    this.last = done.catch(() => undefined);
    return done;
  }

  private async round(act: boolean): Promise<Reconciliation> {
    const looked = await this.look();
    let claims: Claims;
    try {
      claims = await this.ports.claims();
      this.told("journals", undefined);
    } catch (error) {
      this.told("journals", error);
      return { differences: [], unknown: [...this.unknown.values()] };
    }
    const left = withoutInner(looked.filter((each) => !isHeld(each, claims)));
    const now = this.ports.now();
    this.seen = new Map(left.map(({ key }) => [key, this.seen.get(key) ?? { since: now, failed: "" }]));
    const differences: Difference[] = [];
    let done = 0;
    for (const each of left) {
      const isOld = now - (this.seen.get(each.key)?.since ?? now) >= APART_MS;
      const may = act && isOld && !claims.incomplete && done < MOST_DONE && !this.closed.signal.aborted;
      if (may && each.action !== "") {
        done += 1;
        differences.push(await this.actOn(each));
      } else {
        if (act && isOld && each.action === "") this.tell(each);
        differences.push(this.differenceOf(each, isOld ? "confirmed" : "new"));
      }
    }
    if (claims.incomplete) this.told("claims", new Error(INCOMPLETE));
    else this.told("claims", undefined);
    return { differences, unknown: [...this.unknown.values()] };
  }

  /** All looks at once; one that fails or is late finds nothing. */
  private async look(): Promise<Found[]> {
    const { looks, deadlines } = this.ports;
    const all = Object.entries(looks).map(async ([kind, look]) => {
      try {
        const late = () =>
          blazarError("DeadlineExceeded", "look at the host", `no answer after ${deadlines.reconcile} ms`, {
            subject: kind,
          });
        const found = await withDeadline(look(), deadlines.reconcile, late);
        this.told(kind, undefined);
        return found;
      } catch (error) {
        this.told(kind, error);
        return [];
      }
    });
    return (await Promise.all(all)).flat();
  }

  private async actOn(each: Found): Promise<Difference> {
    const { undo, logger } = this.ports;
    const { kind, text, action, resource, remedy } = each;
    try {
      if (remedy !== undefined) await remedy();
      else if (resource !== undefined) await undoResource(resource, undo);
      count(this.counts.done, kind);
      logger.warn({ kind, what: text, action }, "the reconciler has found what nobody holds");
      const difference = this.differenceOf(each, "done");
      this.seen.delete(each.key);
      return difference;
    } catch (error) {
      count(this.counts.failed, kind);
      const seen = this.seen.get(each.key);
      const reason = reasonOf(error);
      const level = seen === undefined || seen.failed === "" ? "error" : "debug";
      if (seen !== undefined) seen.failed = reason;
      logger[level](
        { err: error, kind, what: text, action },
        "the reconciler could not do what is to be done; it tries again, and says so once",
      );
      return this.differenceOf(each, "failed");
    }
  }

  /** Nothing can be done about it: it is told once. */
  private tell({ key, kind, text }: Found): void {
    const seen = this.seen.get(key);
    if (seen === undefined || seen.failed !== "") return;
    seen.failed = "told";
    this.ports.logger.warn({ kind }, text);
  }

  private differenceOf({ key, kind, text, action }: Found, state: Difference["state"]): Difference {
    const { since, failed } = this.seen.get(key) ?? { since: this.ports.now(), failed: "" };
    return { kind, text, action, state, since, error: state === "failed" ? failed : "" };
  }

  /** What cannot be looked at is told when it begins. */
  private told(kind: string, error: unknown): void {
    if (error === undefined) {
      this.unknown.delete(kind);
      return;
    }
    const text = `${kind}: ${reasonOf(error)}`;
    if (!this.unknown.has(kind))
      this.ports.logger.info(
        { err: error, kind },
        "the reconciler cannot look at everything; it concludes nothing from that",
      );
    this.unknown.set(kind, text);
  }
}

function isHeld({ resource, within = [] }: Found, claims: Claims): boolean {
  return [...(resource === undefined ? [] : [resource]), ...within].some((each) => claims.has(each));
}

/** What is in a directory that nobody holds goes with the directory. */
function withoutInner(found: readonly Found[]): Found[] {
  const directories = found.flatMap(({ kind, resource }) =>
    kind === "directory" && resource?.kind === "directory" ? [`${resource.path}/`] : [],
  );
  return found.filter(({ kind, resource }) => {
    if (kind !== "mount" || resource === undefined) return true;
    const path =
      resource.kind === "volume" ? resource.target : resource.kind === "directory" ? resource.path : "";
    return !directories.some((directory) => path.startsWith(directory));
  });
}

function count(counts: Map<string, number>, kind: string): void {
  counts.set(kind, (counts.get(kind) ?? 0) + 1);
}
