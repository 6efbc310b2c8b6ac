/**
 * The port by which actors and adapters tell what happens to a sandbox, and by which observers hear of it.
 *
 * A sandbox's transitions and effects are told by its charts themselves (observe/history/); what no chart knows is told here:
 * calls, and parts of effects that someone else carries out. Nobody waits for it, and nothing of it ever fails. Where
 * inspection is off, {@link NO_HISTORY} stands for it.
 */
import type { ErrorCode } from "./errors.ts";
import type { HeldResource, HistoryEntry, SandboxSummary } from "./inspection.ts";

/** Something that goes on. */
export interface Span {
  /** Id of its entry; 0 where nothing is recorded. */
  readonly id: number;
  /** A part of it that somebody else has done and tells of afterwards: `mount`, from so many milliseconds after its begin. */
  part(name: string, fromMs: number, ms: number): void;
  /** It has ended; with an error if it failed. Later calls do nothing. */
  end(error?: unknown): void;
}

/** What is known of a call beside its name. */
export interface CallFacts {
  /** The container or process that it is about. */
  readonly chart?: HistoryEntry["chart"];
  /** Of the call's metadata (W3C Trace Context), if it has one. */
  readonly traceparent?: string | undefined;
}

export interface SandboxHistory {
  /** A call of containerd begins. */
  call(name: string, facts?: CallFacts): Span;
  /** Whatever is sent to a chart before `act` returns has this cause. */
  within<Result>(cause: Span, act: () => Result): Result;
  /** A part of the effect that was begun last, of the given chart if one is named. */
  step(name: string, chart?: HistoryEntry["chart"]): Span;
  /** A step that has just ended and took `ms`. */
  passed(name: string, ms: number, chart?: HistoryEntry["chart"]): void;
  note(text: string): void;
}

/** What no chart knows of a sandbox. */
export interface SandboxFacts {
  readonly vcpus: number;
  readonly memoryBytes: number;
  readonly resources: readonly HeldResource[];
  /** As `crictl inspectp` shows them. */
  readonly info: Readonly<Record<string, string>>;
}

/** Whose history it is. */
export interface HistorySubject {
  readonly id: string;
  readonly pod: SandboxSummary["pod"];
  readonly createdAt: number;
  /** What an earlier daemon has recorded, in any order and not checked. Default: nothing, the sandbox is new. */
  readonly earlier?: readonly HistoryEntry[] | undefined;
  /** Asked when somebody looks, and once at the end. Must not throw. */
  facts(): SandboxFacts;
}

/** The history of a sandbox as its owner has it. */
export interface OwnHistory extends SandboxHistory {
  /** The option `inspect` of the sandbox's chart; undefined where nothing is recorded. */
  readonly inspect: ((event: unknown) => void) | undefined;
  /** Calls `keep` with every entry that has ended, first with those that have ended before. */
  record(keep: (entry: HistoryEntry) => void): void;
  /** The sandbox is gone. What is known of it is kept for a while. */
  close(): void;
}

/** The histories of all sandboxes. */
export interface Histories {
  /** A sandbox is made. If there is one of this id that has ended, that one is forgotten. */
  open(subject: HistorySubject): OwnHistory;
  /** Of a sandbox that is there; of any other, one that records nothing. */
  of(sandboxId: string): SandboxHistory;
  /** As {@link SandboxHistory.call}, also for the call that makes the sandbox. */
  call(sandboxId: string, name: string, facts?: CallFacts): Span;
  /** As {@link SandboxHistory.within}, whatever sandbox the cause is of. */
  within<Result>(cause: Span, act: () => Result): Result;
  /** What ends the text of a call's error: what the sandbox waited for, in one line; "" if that would say nothing. */
  explain(sandboxId: string, error: unknown): string;
}

/** Who hears of entries, as they come. Must return at once and never throw. */
export interface HistoryListener {
  /** `traceparent` is a call's own. */
  began(sandboxId: string, entry: HistoryEntry, traceparent?: string): void;
  /**
   * It has ended, or took no time: then it is not told as begun before.
   * @param code of its error; `Internal` for one that is no BlazarError
   */
  ended(sandboxId: string, entry: HistoryEntry, code?: ErrorCode): void;
  /** Nothing more comes of this sandbox. */
  removed(sandboxId: string): void;
}

const NO_SPAN: Span = { id: 0, part: () => undefined, end: () => undefined };

/** Records nothing. */
export const NO_HISTORY: SandboxHistory = {
  call: () => NO_SPAN,
  within: (_, act) => act(),
  step: () => NO_SPAN,
  passed: () => undefined,
  note: () => undefined,
};

/** Records nothing, of no sandbox. */
export const NO_HISTORIES: Histories = {
  open: () => ({
    ...NO_HISTORY,
    inspect: undefined,
    record: () => undefined,
    close: () => undefined,
  }),
  of: () => NO_HISTORY,
  call: () => NO_SPAN,
  within: (_, act) => act(),
  explain: () => "",
};
