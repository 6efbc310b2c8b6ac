/**
 * The end of the logs of sandboxes that have failed, for questions after their end.
 *
 * Read when a sandbox begins to go down by itself, while its files are there. Of each log a few kilobytes are kept, of all together a
 * megabyte; the oldest make room. Nobody waits for it.
 */
import type { EventSource } from "../../contracts/event-source.ts";
import type { Inspection, LogName } from "../../contracts/inspection.ts";

const LOGS: readonly LogName[] = ["vmm", "console", "agent"];
const MOST_OF_A_LOG = 8 * 1024;
const MOST_BYTES = 1024 * 1024;

type Words = ReadonlyMap<LogName, Uint8Array>;

export class LastWords {
  /** Oldest first. */
  private readonly kept = new Map<string, Map<LogName, Uint8Array>>();
  private bytes = 0;

  constructor(private readonly logs: Inspection["logs"]) {}

  /** Its logs are read now. */
  keep(id: string): void {
    this.forget(id);
    const words = new Map<LogName, Uint8Array>();
    this.kept.set(id, words);
    for (const log of LOGS) this.read(id, log, words);
  }

  forget(id: string): void {
    const words = this.kept.get(id);
    if (words === undefined) return;
    this.kept.delete(id);
    this.bytes -= sizeOf(words);
  }

  /** Undefined: none were kept. */
  of(id: string, log: LogName, most: number): EventSource<Uint8Array> | undefined {
    const words = this.kept.get(id);
    if (words === undefined) return undefined;
    const bytes = words.get(log) ?? new Uint8Array();
    return {
      subscribe: (observer) => {
        let left = false;
        queueMicrotask(() => {
          if (left) return;
          if (bytes.length > 0 && most > 0) observer.next(bytes.subarray(-most));
          observer.complete();
        });
        return {
          unsubscribe: () => {
            left = true;
          },
        };
      },
    };
  }

  private read(id: string, log: LogName, words: Map<LogName, Uint8Array>): void {
    try {
      this.logs(id, log, { tailBytes: MOST_OF_A_LOG, follow: false }).subscribe({
        next: (bytes) => this.add(id, log, words, bytes),
        // then there are no last words
        error: () => undefined,
        complete: () => undefined,
      });
    } catch {
      // the sandbox is gone already
    }
  }

  private add(id: string, log: LogName, words: Map<LogName, Uint8Array>, bytes: Uint8Array): void {
    if (this.kept.get(id) !== words || words.has(log)) return;
    // a copy: the view may be of something larger
    words.set(log, bytes.slice(-MOST_OF_A_LOG));
    this.bytes += Math.min(bytes.length, MOST_OF_A_LOG);
    for (const oldest of this.kept.keys()) {
      if (this.bytes <= MOST_BYTES || oldest === id) break;
      this.forget(oldest);
    }
  }
}

function sizeOf(words: Words): number {
  return [...words.values()].reduce((sum, { length }) => sum + length, 0);
}
