/**
 * The one error class of Blazar and its one code table.
 *
 * Every failure that leaves a module is a {@link BlazarError}: what was being done, to what, what went
 * wrong and what the operator can do. The code names the failure; its kind decides the wire status, and
 * only `rpc/status.ts` translates kinds to gRPC and ttrpc. Nothing here knows a wire.
 */

/** Families of failure, each mapped to one gRPC status code in `rpc/status.ts`. */
export type ErrorKind =
  | "invalidArgument"
  | "notFound"
  | "alreadyExists"
  | "failedPrecondition"
  | "unavailable"
  | "deadlineExceeded"
  | "cancelled"
  | "resourceExhausted"
  | "permissionDenied"
  | "unimplemented"
  | "dataLoss"
  | "internal";

/** Every error code of Blazar and the kind it belongs to. Add a code here, nowhere else. */
export const ERROR_KINDS = {
  // what the caller asked for
  InvalidArgument: "invalidArgument",
  InvalidConfig: "invalidArgument",
  InvalidSpec: "invalidArgument",
  InvalidRootfs: "invalidArgument",
  MountOptionsTooLong: "invalidArgument",
  UnsupportedSpec: "invalidArgument",
  SandboxNotFound: "notFound",
  ContainerNotFound: "notFound",
  ProcessNotFound: "notFound",
  JournalDamaged: "unavailable",
  SandboxExists: "alreadyExists",
  ContainerExists: "alreadyExists",
  ProcessExists: "alreadyExists",
  SandboxNotReady: "failedPrecondition",
  ContainerNotRunning: "failedPrecondition",
  ProcessNotRunning: "failedPrecondition",
  IllegalTransition: "failedPrecondition",
  Unimplemented: "unimplemented",
  Cancelled: "cancelled",
  DeadlineExceeded: "deadlineExceeded",
  PermissionDenied: "permissionDenied",
  // the host
  DependencyMissing: "failedPrecondition",
  HostResource: "internal",
  MountFailed: "internal",
  StorageFailed: "internal",
  ResourceExhausted: "resourceExhausted",
  NetworkLost: "unavailable",
  PortInUse: "failedPrecondition",
  ImageNotFound: "notFound",
  ImageBroken: "dataLoss",
  ImageInUse: "failedPrecondition",
  // the VMM
  VmmNotInstalled: "failedPrecondition",
  VmmFailed: "internal",
  VmmExited: "unavailable",
  VmNotFound: "notFound",
  QmpFailed: "internal",
  TemplateNotFound: "notFound",
  TemplateBroken: "dataLoss",
  TemplateInUse: "failedPrecondition",
  // the guest
  GuestNotReady: "deadlineExceeded",
  GuestLost: "unavailable",
  GuestFailed: "internal",
  CommandNotFound: "invalidArgument",
  CommandNotExecutable: "invalidArgument",
  ConnectionRefused: "unavailable",
  // links (guest, keeper)
  FrameTooLong: "dataLoss",
  FrameMalformed: "dataLoss",
  FrameUnexpected: "dataLoss",
  ProtocolVersion: "failedPrecondition",
  LinkClosed: "unavailable",
  KeeperLost: "unavailable",
  // answers of a neighbour's service (containerd)
  RemoteNotFound: "notFound",
  RemoteAlreadyExists: "alreadyExists",
  RemoteFailedPrecondition: "failedPrecondition",
  RemoteUnavailable: "unavailable",
  // the daemon itself
  DaemonRunning: "failedPrecondition",
  ShuttingDown: "unavailable",
  Draining: "unavailable",
  Internal: "internal",
} as const satisfies Record<string, ErrorKind>;

/** The name of a failure, for logs, journals and programs; see {@link ERROR_KINDS}. */
export type ErrorCode = keyof typeof ERROR_KINDS;

/** What an error carries beside its code. All texts are for an operator to read. */
export interface ErrorDetails {
  /** What was being done, in the infinitive: `"mount the layers"`. */
  readonly operation: string;
  /** To what: a sandbox or container id, a path, a config key. */
  readonly subject?: string | undefined;
  /** What went wrong, a clause without a full stop: `"no such file"`. */
  readonly reason: string;
  /** What the operator can do about it, if anything is known. */
  readonly remedy?: string | undefined;
  /** The error that caused this one; always kept. */
  readonly cause?: unknown;
}

/** The error class of every module. {@link blazarError} makes one. */
export class BlazarError extends Error {
  override readonly name = "BlazarError";
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, details: ErrorDetails) {
    super(describe(details), details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.details = details;
  }

  /** The family of {@link code}. */
  get kind(): ErrorKind {
    return ERROR_KINDS[this.code];
  }

  /** Returns `error` if it is a BlazarError already, else wraps it under `code` with the given details. */
  static wrap(error: unknown, code: ErrorCode, details: Omit<ErrorDetails, "reason" | "cause">): BlazarError {
    if (error instanceof BlazarError) return error;
    return new BlazarError(code, { ...details, reason: reasonOf(error), cause: error });
  }
}

/**
 * Makes an error: what could not be done, and why; `about` says on what, what to do, and what caused it.
 *
 * @example
 * throw blazarError("VmmNotInstalled", "start the VMM", "no such program in PATH", {
 *   subject: "qemu-system-x86_64", remedy: "install the package qemu-system-x86",
 * });
 */
export function blazarError(
  code: ErrorCode,
  operation: string,
  reason: string,
  about: Omit<ErrorDetails, "operation" | "reason"> = {},
): BlazarError {
  return new BlazarError(code, { operation, reason, ...about });
}

/** The text of anything that was thrown. */
export function reasonOf(error: unknown): string {
  if (error instanceof BlazarError) return error.message;
  if (error instanceof Error) return error.message;
  return String(error);
}

function describe(details: ErrorDetails): string {
  const subject = details.subject === undefined ? "" : ` (${details.subject})`;
  const remedy = details.remedy === undefined ? "" : `; ${details.remedy}`;
  return `cannot ${details.operation}${subject}: ${details.reason}${remedy}`;
}
