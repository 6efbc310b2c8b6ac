/**
 * Checks of what came over the inspection socket, for words of the contract that the wire carries as plain strings.
 *
 * A word that is not known is of a daemon or a command of another version. Must not guess what it could mean.
 */
import { blazarError } from "../../contracts/errors.ts";
import type {
  ChartKey,
  ChartName,
  ChartStateDefinition,
  HistoryEntry,
  LogName,
  SandboxSummary,
} from "../../contracts/inspection.ts";
import type { SandboxPhase } from "../../contracts/sandbox.ts";

/** All of a union's words: one that is missing is a type error. */
type Words<Word extends string> = Readonly<Record<Word, true>>;

const PHASES: Words<SandboxPhase> = {
  creating: true,
  created: true,
  booting: true,
  ready: true,
  stopping: true,
  stopped: true,
  failed: true,
};
const PATHS: Words<SandboxSummary["path"]> = { "": true, pool: true, fork: true, clone: true, boot: true };
const KINDS: Words<HistoryEntry["kind"]> = {
  call: true,
  transition: true,
  effect: true,
  step: true,
  note: true,
};
const CHARTS: Words<ChartName> = { sandbox: true, boot: true, container: true, process: true };
const STATE_TYPES: Words<ChartStateDefinition["type"]> = {
  atomic: true,
  compound: true,
  parallel: true,
  final: true,
};
const LOGS: Words<LogName> = { vmm: true, console: true, agent: true };

export const toPhase = (word: string): SandboxPhase => oneOf(PHASES, word, "a phase");
export const toVmPath = (word: string): SandboxSummary["path"] => oneOf(PATHS, word, "a source of VMs");
export const toEntryKind = (word: string): HistoryEntry["kind"] => oneOf(KINDS, word, "a kind of entry");
export const toChartName = (word: string): ChartName => oneOf(CHARTS, word, "a chart");
export const toStateType = (word: string): ChartStateDefinition["type"] =>
  oneOf(STATE_TYPES, word, "a type of state");

export function toChartKey(key: string): ChartKey {
  if (!isChartKey(key)) throw unknown("a key of a chart", key);
  return key;
}

/** @throws BlazarError `InvalidArgument`: an operator has named it */
export function toLogName(word: string): LogName {
  if (isWord(LOGS, word)) return word;
  const remedy = `name one of ${Object.keys(LOGS).join(", ")}`;
  throw blazarError("InvalidArgument", "read a log", "there is no such log", { subject: word, remedy });
}

/** A message that every answer has. */
export function present<Message>(message: Message | undefined, what: string): Message {
  if (message === undefined)
    throw blazarError("ProtocolVersion", "read the daemon's answer", `it has no ${what}`);
  return message;
}

function isChartKey(key: string): key is ChartKey {
  return key === "sandbox" || key === "boot" || /^container\/[^/]+$|^process\/[^/]+\/[^/]*$/.test(key);
}

function isWord<Word extends string>(words: Words<Word>, word: string): word is Word {
  return Object.hasOwn(words, word);
}

function oneOf<Word extends string>(words: Words<Word>, word: string, what: string): Word {
  if (isWord(words, word)) return word;
  throw unknown(what, word);
}

function unknown(what: string, word: string): Error {
  return blazarError("ProtocolVersion", "read the daemon's answer", `${what} is not known`, {
    subject: word.slice(0, 64),
    remedy: "use the blazar command of the daemon's version",
  });
}
