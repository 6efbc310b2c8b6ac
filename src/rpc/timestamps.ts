/**
 * Dates as google.protobuf.Timestamp.
 *
 * A Date holds milliseconds, which is as fine as anything that Blazar reports.
 */
import type { Timestamp } from "./generated/google/protobuf/timestamp.ts";

export function toTimestamp(date: Date): Timestamp {
  const ms = date.getTime();
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1_000_000 };
}
