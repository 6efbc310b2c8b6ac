/**
 * The port by which actors and adapters tell what happens to a sandbox, and by which observers hear of it.
 *
 * A sandbox's transitions and effects are told by its charts themselves (observe/history/); what no chart knows is told here:
 * calls, and parts of effects that someone else carries out. Nobody waits for it, and nothing of it ever fails. Where
 * inspection is off, {@link NO_HISTORY} stands for it.
 */
import type { ErrorCode } from "./errors.ts";
import type { HistoryEntry } from "./inspection.ts";

/** Something that goes on. */
export interface Span {
  /** Id of its entry; 0 where nothing is recorded. */
  readonly id: number;
  /** A part of it that somebody else has done and tells of afterwards: `mount`, from so many milliseconds after its begin. */
  part(name: string, fromMs: number, ms: number): void;
  /** It has ended; with an error if it failed. Later calls do nothing. */
  end(error?: unknown): void;
}

export interface SandboxHistory {
  /**
   * A call of containerd begins.
   * @param traceparent of the call's metadata (W3C Trace Context), if it has one
   */
  call(name: string, traceparent?: string): Span;
  /** Whatever is sent to a chart before `act` returns has this cause. */
  within<Result>(cause: Span, act: () => Result): Result;
  /** A part of the effect that was begun last, of the given chart if one is named. */
  step(name: string, chart?: HistoryEntry["chart"]): Span;
  note(text: string): void;
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
  note: () => undefined,
};
