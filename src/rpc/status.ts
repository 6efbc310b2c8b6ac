/**
 * The one place where errors become wire statuses, and wire statuses become errors.
 *
 * gRPC (Controller, CRI) and ttrpc (Task, Events) share the codes of google.rpc.Code (google/rpc/code.proto). A code of
 * contracts/errors.ts has a kind, and a kind has a status here: a new code needs no change, a new kind without a status
 * is a type error. The rule that matters most: containerd repeats Controller.Wait after `Unavailable` only.
 * No other module may name a status in order to report an error.
 */
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { BlazarError, blazarError, type ErrorCode, type ErrorKind, reasonOf } from "../contracts/errors.ts";
import { harmless } from "../lib/harmless.ts";
import type { Status } from "./generated/google/rpc/status.ts";

/** The status of every kind. */
export const STATUS_OF_KIND: Readonly<Record<ErrorKind, status>> = {
  invalidArgument: status.INVALID_ARGUMENT,
  notFound: status.NOT_FOUND,
  alreadyExists: status.ALREADY_EXISTS,
  failedPrecondition: status.FAILED_PRECONDITION,
  unavailable: status.UNAVAILABLE,
  deadlineExceeded: status.DEADLINE_EXCEEDED,
  cancelled: status.CANCELLED,
  resourceExhausted: status.RESOURCE_EXHAUSTED,
  permissionDenied: status.PERMISSION_DENIED,
  unimplemented: status.UNIMPLEMENTED,
  dataLoss: status.DATA_LOSS,
  internal: status.INTERNAL,
};

const KIND_OF_STATUS = new Map<number, ErrorKind>([
  ...Object.entries(STATUS_OF_KIND).map(([kind, code]) => [code, kind as ErrorKind] as const),
  // Blazar never sends these, a neighbour may
  [status.UNAUTHENTICATED, "permissionDenied"],
  [status.ABORTED, "failedPrecondition"],
  [status.OUT_OF_RANGE, "invalidArgument"],
]);

/** The code of an error that a neighbour has answered, by the kind of its status. */
const REMOTE_CODES: Readonly<Record<ErrorKind, ErrorCode>> = {
  invalidArgument: "InvalidArgument",
  notFound: "RemoteNotFound",
  alreadyExists: "RemoteAlreadyExists",
  failedPrecondition: "RemoteFailedPrecondition",
  unavailable: "RemoteUnavailable",
  deadlineExceeded: "DeadlineExceeded",
  cancelled: "Cancelled",
  resourceExhausted: "ResourceExhausted",
  permissionDenied: "PermissionDenied",
  unimplemented: "Unimplemented",
  dataLoss: "Internal",
  internal: "Internal",
};

/**
 * A longer message is cut. gRPC sends it percent-encoded in a header, nine bytes a character, and HTTP/2's peers take 64 KiB of
 * headers: with more a call would never be answered. The end is where an error says what to do.
 */
const MOST_BEGINNING = 3_072;
const MOST_END = 1_024;

/** The kind of a status. One that is not in google.rpc.Code is internal. */
export function kindOfStatus(code: number): ErrorKind {
  return KIND_OF_STATUS.get(code) ?? "internal";
}

/** The kind of anything that was thrown. What is neither a BlazarError nor an abort is internal. */
export function kindOfError(error: unknown): ErrorKind {
  if (error instanceof BlazarError) return error.kind;
  if (error instanceof Error && error.name === "AbortError") return "cancelled";
  if (error instanceof Error && error.name === "TimeoutError") return "deadlineExceeded";
  return "internal";
}

/** The status of anything that was thrown. */
function statusOfError(error: unknown): status {
  return STATUS_OF_KIND[kindOfError(error)];
}

/** The error to hand to a grpc-js callback. */
export function toServiceError(error: unknown): ServiceError {
  const details = messageOf(error);
  return Object.assign(new Error(details), {
    code: statusOfError(error),
    details,
    metadata: new Metadata(),
  });
}

/** The status to put into a ttrpc response. */
export function toTtrpcStatus(error: unknown): Status {
  return { code: statusOfError(error), message: messageOf(error), details: [] };
}

/** A neighbour's status as an error. `operation` says what the neighbour was asked for: `"call CRI's Version"`. */
export function fromStatus(code: number, message: string, operation: string, cause?: unknown): BlazarError {
  return blazarError(REMOTE_CODES[kindOfStatus(code)], operation, inPlainWords(message), { cause });
}

/** What grpc-js itself says of a neighbour that is not there, or does not answer. */
function inPlainWords(message: string): string {
  const [, unreachable] =
    /^No connection established\. Last error: (?:Error: )?(.+?)\. Resolution note: /.exec(message) ?? [];
  if (unreachable !== undefined) return `it cannot be reached: ${unreachable}`;
  const [, seconds] = /^Deadline exceeded after ([\d.]+)s\b/.exec(message) ?? [];
  return seconds === undefined ? message : `it has not answered within ${seconds} s`;
}

/** True for an error that grpc-js made of a status. */
export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && typeof error.code === "number";
}

function messageOf(error: unknown): string {
  return kindOfError(error) === "internal" && !(error instanceof BlazarError)
    ? fitting(`internal error: ${reasonOf(error)}`)
    : fitting(reasonOf(error));
}

/**
 * A text that can be sent: its middle is left out if it is long. What a terminal would obey is escaped: an error may repeat words of
 * a guest, of a container or of an image, and callers show it as it is.
 */
function fitting(message: string): string {
  const left = message.length - MOST_BEGINNING - MOST_END;
  const cut =
    left <= 0
      ? message
      : `${message.slice(0, MOST_BEGINNING)}… (${left} characters) …${message.slice(-MOST_END)}`;
  return harmless(cut, { lines: true, most: Number.POSITIVE_INFINITY });
}
