/**
 * What a record needs of the hub that it belongs to.
 */
import type { HistoryListener, Span } from "../../contracts/history.ts";
import type { SandboxRecord } from "./sandbox-record.ts";

export interface HistoryTeller {
  readonly listener: HistoryListener;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** The cause of what is sent now, if it is an entry of this record. */
  causeIn(record: SandboxRecord): number | undefined;
  within<Result>(cause: Span, act: () => Result): Result;
  /** One of its charts has moved, or something else of its summary has changed. */
  moved(record: SandboxRecord): void;
  /** Its sandbox is gone. */
  closed(record: SandboxRecord): void;
  /** Nothing goes on any more. */
  over(record: SandboxRecord): void;
}
