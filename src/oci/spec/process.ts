/**
 * From an OCI `process` to the guest's process: runtime-spec, config.md#process.
 *
 * For a container's init process and for the processes of Task.Exec. The rules are runc's: args must not be empty, cwd
 * must be absolute. Profiles of the host's security modules do not apply in the guest.
 */
import { capabilityMask, unknownCapabilities } from "../../protocol/guest/capabilities.ts";
import { type GuestProcess, MAX_TEXTS, NGROUPS_MAX } from "../../protocol/guest/messages.ts";
import { atMost, refuseLarge } from "./limits.ts";
import { invalidSpec, isEmpty, type OciProcess, processSchema, readSpec } from "./schema.ts";

/** @throws BlazarError `InvalidSpec` */
export function translateProcess(value: unknown): {
  readonly process: GuestProcess;
  readonly warnings: readonly string[];
  readonly notices: readonly string[];
} {
  const process = readSpec(processSchema, value, "process");
  const translated = guestProcess(process);
  refuseLarge(translated, "process");
  return { process: translated, warnings: processWarnings(process), notices: processNotices(process) };
}

export function guestProcess(process: OciProcess): GuestProcess {
  const { user, consoleSize } = process;
  return {
    args: checkArgs(process.args),
    env: lastOfEach(atMost(process.env ?? [], MAX_TEXTS, "process.env")),
    cwd: checkCwd(process.cwd),
    terminal: process.terminal ?? false,
    rows: cells(consoleSize?.height),
    columns: cells(consoleSize?.width),
    uid: user?.uid ?? 0,
    gid: user?.gid ?? 0,
    additionalGids: atMost(user?.additionalGids ?? [], NGROUPS_MAX, "process.user.additionalGids"),
    umask: user?.umask ?? undefined,
    noNewPrivileges: process.noNewPrivileges ?? false,
    capabilities: capabilities(process.capabilities),
    rlimits: rlimits(process.rlimits ?? []),
    oomScoreAdj: process.oomScoreAdj ?? undefined,
  };
}

export function processWarnings(process: OciProcess): string[] {
  const warnings: string[] = [];
  const ignored = ["ioPriority", "scheduler", "execCPUAffinity"] as const;
  for (const field of ignored) {
    if (!isEmpty(process[field])) warnings.push(`process.${field} is not supported`);
  }
  const unknown = unknownCapabilities(Object.values(process.capabilities ?? {}).flatMap((set) => set ?? []));
  if (unknown.length > 0)
    warnings.push(`process.capabilities has names of no capability: ${unknown.slice(0, 5).join(", ")}`);
  return warnings;
}

/** What is told once, as nearly every container has it. */
export const HOST_LABELS =
  "AppArmor profiles and SELinux labels are the host's and do not apply in a guest: the VM's boundary stands in for them";

export function processNotices({ apparmorProfile, selinuxLabel }: OciProcess): string[] {
  const confined = !isEmpty(apparmorProfile) && apparmorProfile !== "unconfined";
  return confined || !isEmpty(selinuxLabel) ? [HOST_LABELS] : [];
}

function checkArgs(args: readonly string[] | null | undefined): string[] {
  if (args === undefined || args === null || args.length === 0)
    throw invalidSpec("process.args", "process.args is empty");
  if (args[0] === "") throw invalidSpec("process.args[0]", "the command is empty");
  return atMost(args, MAX_TEXTS, "process.args");
}

/** Of variables with one name, the last counts, as in runc. It has the place of the first. */
function lastOfEach(env: readonly string[]): string[] {
  const variables = new Map<string, string>();
  for (const [index, variable] of env.entries()) {
    const length = variable.indexOf("=");
    if (length < 1) {
      const shown = variable.slice(0, MAX_SHOWN);
      throw invalidSpec(`process.env[${index}]`, `"${shown}" is not a name, "=" and a value`);
    }
    variables.set(variable.slice(0, length), variable);
  }
  return [...variables.values()];
}

const MAX_SHOWN = 64;

function checkCwd(cwd: string | null | undefined): string {
  if (cwd === undefined || cwd === null || cwd === "") throw invalidSpec("process.cwd", "it is empty");
  if (!cwd.startsWith("/")) throw invalidSpec("process.cwd", `"${cwd}" is not an absolute path`);
  return cwd;
}

/** Rows or columns of a terminal; 0 if unknown or impossible. */
function cells(count: number | null | undefined): number {
  return count !== undefined && count !== null && Number.isInteger(count) && count > 0 && count <= 65_535
    ? count
    : 0;
}

function capabilities(sets: OciProcess["capabilities"]): GuestProcess["capabilities"] {
  if (sets === undefined || sets === null) return undefined;
  return {
    bounding: capabilityMask(sets.bounding ?? []),
    effective: capabilityMask(sets.effective ?? []),
    permitted: capabilityMask(sets.permitted ?? []),
    inheritable: capabilityMask(sets.inheritable ?? []),
    ambient: capabilityMask(sets.ambient ?? []),
  };
}

function rlimits(limits: NonNullable<OciProcess["rlimits"]>): GuestProcess["rlimits"] {
  const seen = new Set<string>();
  return atMost(limits, 32, "process.rlimits").map(({ type, soft, hard }) => {
    if (seen.has(type)) throw invalidSpec("process.rlimits", `${type} is given twice`);
    seen.add(type);
    if (limitValue(soft, type) > limitValue(hard, type))
      throw invalidSpec("process.rlimits", `the soft ${type} is above the hard one`);
    return { type, soft: wireLimit(soft, type), hard: wireLimit(hard, type) };
  });
}

/** RLIM_INFINITY is 2^64-1, which a JSON number rounds. So every limit above 2^53 is infinite. */
function limitValue(value: number, type: string): number {
  if (value > Number.MAX_SAFE_INTEGER || value === -1) return Number.POSITIVE_INFINITY;
  if (!Number.isInteger(value) || value < 0)
    throw invalidSpec("process.rlimits", `${value} is no limit for ${type}`);
  return value;
}

function wireLimit(value: number, type: string): number {
  const limit = limitValue(value, type);
  return limit === Number.POSITIVE_INFINITY ? -1 : limit;
}
