/**
 * What the facts of a journal say of a sandbox: read by a daemon that takes over from an earlier one.
 *
 * Every fact is checked. One that is garbage is as if it were not there: then the guest's own word counts, or the sandbox
 * is undone. Facts of a backend are its own to read.
 */
import { ERROR_KINDS, type ErrorCode } from "../../contracts/errors.ts";
import { MAX_ID_MAPPINGS } from "../../contracts/id-maps.ts";
import type { HistoryEntry } from "../../contracts/inspection.ts";
import type { SandboxSpec } from "../../contracts/sandbox.ts";
import { guestProcess, guestStdio } from "../../protocol/guest/messages.ts";
import {
  array,
  boolean,
  type Check,
  integer,
  object,
  oneOf,
  optional,
  record,
  string,
} from "../../protocol/wire/json.ts";
import type { ContainerFact, PhaseFact, ProcessFact } from "./facts.ts";
import type { Journal } from "./journal/journal.ts";

/** A process, by its exec id; "" is the container's first. */
export interface KnownProcessFact extends ProcessFact {
  readonly execId: string;
}

export interface KnownContainer extends ContainerFact {
  readonly id: string;
  /** The first process is the first. */
  readonly processes: readonly KnownProcessFact[];
}

/** A sandbox that a later daemon can take over. */
export interface KnownSandbox {
  readonly spec: SandboxSpec;
  readonly phase: PhaseFact;
  /** Host pid of the VMM, as far as it is known; for show, because another process may have it. */
  readonly pid: number;
  /** In the order in which they were made. */
  readonly containers: readonly KnownContainer[];
}

/** A sandbox of an earlier daemon, and its journal, which goes on. */
export interface LeftSandbox {
  readonly known: KnownSandbox;
  readonly journal: Journal;
  /** Where the journal is. */
  readonly path: string;
  readonly facts: ReadonlyMap<string, unknown>;
  /** What has happened to it; not checked. */
  readonly history: readonly HistoryEntry[];
  /** The journal has lines that cannot be read, and that may name something. */
  readonly unreadable: boolean;
}

/** Undefined: it had not become ready, or its facts are lost; there is nothing that could be taken over. */
export function readKnownSandbox(facts: ReadonlyMap<string, unknown>): KnownSandbox | undefined {
  const spec = checked(sandboxSpec, facts.get("sandbox"));
  const phase = checked(phaseFact, facts.get("phase"));
  if (spec === undefined || phase === undefined) return undefined;
  const pid = checked(object({ pid: integer() }), facts.get("vm"))?.pid ?? 0;
  return { spec, phase, pid, containers: containersIn(facts) };
}

/** A container without its first process is none: it was half made, or is half deleted. */
function containersIn(facts: ReadonlyMap<string, unknown>): KnownContainer[] {
  const processes = new Map<string, KnownProcessFact[]>();
  const containers: KnownContainer[] = [];
  for (const [name, value] of facts) {
    const [kind, id = "", execId = ""] = name.split("/");
    if (kind !== "process") continue;
    const fact = checked(processFact, value);
    if (fact !== undefined) processes.set(id, [...(processes.get(id) ?? []), { execId, ...fact }]);
  }
  for (const [name, value] of facts) {
    const [kind, id = ""] = name.split("/");
    if (kind !== "container") continue;
    const fact = checked(containerFact, value);
    const all = processes.get(id) ?? [];
    const init = all.find(({ execId }) => execId === "");
    if (fact === undefined || init === undefined) continue;
    containers.push({ id, ...fact, processes: [init, ...all.filter((each) => each !== init)] });
  }
  return containers;
}

/** Undefined if the fact is not there, or is something else. */
function checked<Fact>(check: Check<Fact>, value: unknown): Fact | undefined {
  try {
    return check(value, "fact");
  } catch {
    return undefined;
  }
}

const time = integer();
const texts = record(string);
const mappings = array(
  object({ containerId: integer(), hostId: integer(), size: integer() }),
  MAX_ID_MAPPINGS,
);
const port = object({
  protocol: oneOf("tcp", "udp", "sctp"),
  containerPort: integer(),
  hostPort: integer(),
  hostIp: string,
});

/** The daemon's own words; what is absent stays absent. */
const sandboxSpec = object({
  id: string,
  hostname: string,
  netnsPath: string,
  ports: optional(array(port)),
  dns: optional(object({ servers: array(string), searches: array(string), options: array(string) })),
  sysctls: optional(texts),
  pidMode: oneOf("container", "pod", "target"),
  userNamespace: optional(object({ uids: mappings, gids: mappings })),
  cgroupParent: string,
  name: string,
  namespace: string,
  uid: string,
  attempt: integer(),
  labels: texts,
  annotations: texts,
  vcpus: optional(integer()),
  memoryBytes: optional(integer()),
  overheadBytes: optional(integer()),
  sharedDirectory: optional(string),
}) as Check<SandboxSpec>;

const failure = object({
  code: oneOf(...(Object.keys(ERROR_KINDS) as ErrorCode[])),
  operation: string,
  subject: optional(string),
  reason: string,
  remedy: optional(string),
});

const phaseFact: Check<PhaseFact> = object({
  phase: oneOf("ready", "stopping", "stopped"),
  failure: optional(failure),
  createdAt: time,
  exitedAt: optional(time),
});

const containerFact: Check<ContainerFact> = object({
  bundle: string,
  namespace: optional(string),
  diskId: string,
  paused: optional(boolean),
});

const processFact: Check<ProcessFact> = object({
  pid: integer(1),
  paths: object({ stdin: string, stdout: string, stderr: string }),
  terminal: boolean,
  started: boolean,
  streams: optional(guestStdio),
  process: optional(guestProcess),
  exit: optional(object({ status: integer(0, 255), at: time })),
});
