/**
 * The one place where failures become wire statuses and wire statuses become failures.
 *
 * gRPC (Controller, Events, CRI) and ttrpc (Task) share the codes of google.rpc.Code. What containerd does
 * with each code is in docs; the rule that matters most: only `Unavailable` makes it retry Controller.Wait.
 * No other module may name a status code in order to report an error.
 */
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { BlazarError, blazarError, type ErrorCode, type ErrorKind, reasonOf } from "../contracts/errors.ts";
import type { Status } from "./generated/google/rpc/status.ts";

/** The wire code of every kind of failure. */
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
  // codes that no kind of ours stands for
  [status.UNAUTHENTICATED, "permissionDenied"],
  [status.ABORTED, "failedPrecondition"],
  [status.OUT_OF_RANGE, "invalidArgument"],
]);

/** What a neighbour's answer is called here, by its kind. */
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

/** The kind that a wire code stands for; an unknown code is an internal failure. */
export function kindOfStatus(code: number): ErrorKind {
  return KIND_OF_STATUS.get(code) ?? "internal";
}

/** The kind of anything that was thrown: an abort is a cancellation, a stranger is internal. */
export function kindOfError(error: unknown): ErrorKind {
  if (error instanceof BlazarError) return error.kind;
  if (error instanceof Error && error.name === "AbortError") return "cancelled";
  if (error instanceof Error && error.name === "TimeoutError") return "deadlineExceeded";
  return "internal";
}

/** The wire code of anything that was thrown. */
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

/** What a neighbour answered, as an error of ours. `operation` says what it was asked for. */
export function fromStatus(code: number, message: string, operation: string, cause?: unknown): BlazarError {
  return blazarError(REMOTE_CODES[kindOfStatus(code)], operation, message, { cause });
}

/** Whether grpc-js made this error out of a status. */
export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && typeof error.code === "number";
}

function messageOf(error: unknown): string {
  return kindOfError(error) === "internal" && !(error instanceof BlazarError)
    ? `internal error: ${reasonOf(error)}`
    : reasonOf(error);
}
