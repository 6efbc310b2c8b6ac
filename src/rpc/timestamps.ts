/**
 * Dates to and from google.protobuf.Timestamp.
 *
 * A Date holds milliseconds, which is as fine as anything that Blazar reports; nanoseconds that arrive are
 * rounded down.
 */
import type { Timestamp } from "./generated/google/protobuf/timestamp.ts";

export function toTimestamp(date: Date): Timestamp {
  const ms = date.getTime();
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1_000_000 };
}

export function fromTimestamp(timestamp: Timestamp): Date {
  return new Date(Number(timestamp.seconds) * 1000 + Math.floor(timestamp.nanos / 1_000_000));
}
