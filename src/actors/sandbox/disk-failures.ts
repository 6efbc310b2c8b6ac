/**
 * What a sandbox's disks could not do on the host: kept for Status, and told once for each disk and kind of failure.
 *
 * A full disk fails at every write until there is space. A failure is told again when it comes back after a minute
 * without one.
 */
import type { DiskFailed } from "../../contracts/vm.ts";

/** One disk and one kind of failure. Plain data, shown by `crictl inspectp`. */
export interface DiskFailure {
  readonly disk: string;
  /** Whose writable layer or root it is; undefined if no container has the disk. */
  readonly container: string | undefined;
  readonly operation: DiskFailed["operation"];
  readonly noSpace: boolean;
  readonly reason: string;
  /** ISO 8601. */
  readonly since: string;
  readonly last: string;
}

const QUIET_MS = 60_000;
/** Containers come and go in a pod: the oldest failures are forgotten. */
const MOST = 32;

export class DiskFailures {
  private readonly byKind = new Map<string, { failure: DiskFailure; lastAt: number }>();

  /** @param now milliseconds since the epoch */
  constructor(private readonly now: () => number) {}

  get list(): readonly DiskFailure[] {
    return [...this.byKind.values()].map(({ failure }) => failure);
  }

  /** Returns the failure if it is to be told. */
  note(event: DiskFailed, container: string | undefined): DiskFailure | undefined {
    const { disk, operation, noSpace, reason } = event;
    const kind = `${disk} ${operation} ${noSpace}`;
    const at = this.now();
    const last = new Date(at).toISOString();
    const before = this.byKind.get(kind);
    const goesOn = before !== undefined && at - before.lastAt < QUIET_MS;
    const since = goesOn ? before.failure.since : last;
    const failure = { disk, container, operation, noSpace, reason, since, last };
    this.byKind.delete(kind);
    this.byKind.set(kind, { failure, lastAt: at });
    for (const oldest of this.byKind.keys()) {
      if (this.byKind.size <= MOST) break;
      this.byKind.delete(oldest);
    }
    return goesOn ? undefined : failure;
  }
}

/** For people: what, where, why. */
export function failureText({ disk, container, operation, reason }: DiskFailure): string {
  const where = container === undefined ? `disk ${disk}` : `the disk of container ${container}`;
  return `the host could not ${operation} ${where} (${reason}); the guest got an error and goes on`;
}

/** What an operator can do. */
export function failureRemedy({ noSpace }: DiskFailure): string {
  return noSpace
    ? "make space on the file system of containerd's snapshots and of storage.scratch_directory; writes succeed again at once"
    : "look for errors of the host's disk in its kernel's log (dmesg)";
}
