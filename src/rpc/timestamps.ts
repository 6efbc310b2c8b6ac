/**
 * Dates as google.protobuf.Timestamp (timestamp.proto). A Date holds milliseconds; Blazar reports nothing finer.
 */
import type { Timestamp } from "./generated/google/protobuf/timestamp.ts";

export function toTimestamp(date: Date): Timestamp {
  const ms = date.getTime();
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1_000_000 };
}

/** To the millisecond; the beginning of time for a timestamp that is missing. */
export function fromTimestamp(timestamp: Timestamp | undefined): Date {
  const { seconds = 0n, nanos = 0 } = timestamp ?? {};
  return new Date(Number(seconds) * 1000 + Math.floor(nanos / 1_000_000));
}
