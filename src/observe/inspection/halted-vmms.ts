/**
 * Looks now and then whether a VMM's process is halted: stopped by a signal, or ended and not reaped.
 *
 * No chart waits then, because a halted guest asks for nothing. One process is looked at after the other, so that many VMMs keep
 * the daemon no longer from its work than one does.
 */
import type { SandboxRecord } from "../history/sandbox-record.ts";
import { duration } from "../why/words.ts";
import { vmmOf } from "./views.ts";

export interface HaltedVmmsOptions {
  readonly now: () => number;
  readonly running: () => Iterable<SandboxRecord>;
  /** What a process does, if that explains why it does nothing: `"is stopped by a signal (state T)"`. */
  readonly processTrouble: (pid: number) => Promise<string | undefined>;
  /** A VMM that is halted for less is not told of: a debugger halts it for moments. */
  readonly leastMs: number;
  /** @param sentence undefined: it runs */
  readonly onFound: (record: SandboxRecord, sentence: string | undefined) => void;
}

const LOOK_EVERY_MS = 10_000;

export class HaltedVmms {
  /** Since which look. */
  private readonly since = new Map<SandboxRecord, number>();
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(private readonly options: HaltedVmmsOptions) {}

  /** There is a sandbox: from now on it is looked at, until there is none. */
  watch(): void {
    if (this.timer !== undefined || this.closed) return;
    this.timer = setTimeout(() => {
      void this.look().finally(() => {
        this.timer = undefined;
        const [any] = this.options.running();
        if (any !== undefined) this.watch();
      });
    }, LOOK_EVERY_MS);
    this.timer.unref();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.since.clear();
  }

  private async look(): Promise<void> {
    const records = [...this.options.running()];
    for (const record of this.since.keys()) if (!records.includes(record)) this.since.delete(record);
    for (const record of records) {
      const pid = vmmOf(record);
      const trouble = pid === 0 ? undefined : await this.options.processTrouble(pid).catch(() => undefined);
      if (this.closed) return;
      this.found(record, pid, trouble);
    }
  }

  private found(record: SandboxRecord, pid: number, trouble: string | undefined): void {
    const { leastMs, onFound } = this.options;
    if (trouble === undefined) {
      if (this.since.delete(record)) onFound(record, undefined);
      return;
    }
    const now = this.options.now();
    const since = this.since.get(record) ?? now;
    this.since.set(record, since);
    // looks are a little early or late
    if (now > since && now - since >= leastMs - LOOK_EVERY_MS / 2)
      onFound(record, `its VMM (pid ${pid}) ${trouble}, for more than ${duration(now - since)}`);
  }
}
