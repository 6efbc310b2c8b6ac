/**
 * What a record needs of the hub that it belongs to.
 */
import type { HistoryListener, Span } from "../../contracts/history.ts";
import type { ChartMove } from "./chart-recorder.ts";

export interface HistoryTeller<Record> {
  readonly listener: HistoryListener;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** The cause of what is sent now, if it is an entry of this record. */
  causeIn(record: Record): number | undefined;
  within<Result>(cause: Span, act: () => Result): Result;
  /** One of its charts has moved. */
  moved(record: Record, move: ChartMove): void;
  /** Its sandbox is gone. */
  closed(record: Record): void;
  /** Nothing goes on any more. */
  over(record: Record): void;
}
