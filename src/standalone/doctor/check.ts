/**
 * What a check of the node says, and what it may look at. A check changes nothing; only {@link Subject.reconciled} may, if it
 * is asked to.
 */
import { BlazarError, reasonOf } from "../../contracts/errors.ts";
import type { NodeStatus } from "../../contracts/inspection.ts";
import type { KvmFinding } from "../../contracts/kvm.ts";
import type { Reconciliation } from "../../contracts/reconcile.ts";
import type { VmSpec } from "../../contracts/vm.ts";
import type { Config } from "../../daemon/config/schema.ts";
import type { Parts } from "../../daemon/parts/parts.ts";
import type { Holder } from "./holder.ts";

/**
 * - `ok`: as it should be;
 * - `note`: pods run, but something is slower or less than it could be;
 * - `fault`: pods will not run, or something is left that should be gone.
 */
export type Verdict = "ok" | "note" | "fault";

export interface Finding {
  readonly name: string;
  readonly verdict: Verdict;
  /** What was found. */
  readonly text: string;
  /** What to do about it. */
  readonly remedy?: string;
}

/** The host as checks see it; a test gives another one. */
export interface HostView {
  readonly uid: number;
  /** Node's version: `20.19.2`. */
  readonly node: string;
  /** Undefined if it cannot be read. */
  read(path: string): Promise<string | undefined>;
  names(directory: string): Promise<string[] | undefined>;
  /** May this process read, write or execute it? */
  may(path: string, what: "read" | "write" | "execute"): Promise<boolean>;
  /** Where a program is, of PATH; undefined: nowhere. */
  which(program: string): Promise<string | undefined>;
  /** What a program says to `--version`; undefined: it cannot be run. */
  versionOf(program: string): Promise<string | undefined>;
  /** Of the file system that the path is on, or will be on; undefined if there is none. */
  freeBytes(path: string): Promise<number | undefined>;
  /** What is wrong with /dev/kvm for VMMs of this user (undefined: this process's); undefined: nothing. */
  kvmProblem(user: VmSpec["user"]): Promise<KvmFinding | undefined>;
  /** Whether somebody answers on a unix socket. */
  answers(socket: string): Promise<boolean>;
}

/** What all checks are about. */
export interface Subject {
  readonly host: HostView;
  readonly config: Config;
  /** Or why they cannot be found. */
  readonly parts: Parts | Error;
  /** Path of containerd's configuration. */
  readonly containerdConfig: string;
  /** Compares host, journals and containerd's list; the daemon does, if one runs. */
  readonly reconciled: () => Promise<Reconciliation>;
  /** Who has the state directory, where no daemon answers. */
  readonly holder: Holder | undefined;
  /** The keeper's process, by its command line; undefined: it is not found. */
  readonly keeper: () => Promise<Holder | undefined>;
  /** Of the running daemon; undefined: none answers. */
  readonly daemon: { readonly node: NodeStatus; readonly sandboxIds: readonly string[] } | undefined;
}

export type Check = (subject: Subject) => Promise<Finding[]> | Finding[];

export function ok(name: string, text: string): Finding {
  return { name, verdict: "ok", text };
}

export function note(name: string, text: string, remedy?: string): Finding {
  return { name, verdict: "note", text, ...(remedy === undefined ? {} : { remedy }) };
}

export function fault(name: string, text: string, remedy: string): Finding {
  return { name, verdict: "fault", text, remedy };
}

/** Runs checks; one that fails is a fault of its own. */
export async function runChecks(
  checks: Readonly<Record<string, Check>>,
  subject: Subject,
): Promise<Finding[]> {
  const all = Object.entries(checks).map(async ([name, check]) => {
    try {
      return await check(subject);
    } catch (error) {
      return [failed(name, error)];
    }
  });
  return (await Promise.all(all)).flat();
}

/** What cannot be examined says why, and what to do; anything else is a bug. */
function failed(name: string, error: unknown): Finding {
  if (!(error instanceof BlazarError))
    return fault(name, `the check has failed: ${reasonOf(error)}`, "report it with `blazar bundle`");
  const { remedy = "correct it, and run blazar doctor again", ...details } = error.details;
  return fault(name, new BlazarError(error.code, details).message, remedy);
}
