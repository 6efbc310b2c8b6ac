/**
 * Answers the other end's requests, each once: one that comes again is answered from memory, or is being answered.
 *
 * The memory belongs to one life of the other end. It is bounded: an end that asks again asks soon.
 */
import { errorToRecord } from "./error-record.ts";
import { encodeFrame, type Frame, FrameType } from "./frame.ts";
import type { TextCodec } from "./json.ts";
import { type MarkStep, StepMarks, unmarked } from "./request-steps.ts";

/** Responses that are remembered, for a peer that resends its requests after a reconnect. */
const REMEMBERED_RESPONSES = 256;

export interface RequestAnswersOptions {
  readonly text: TextCodec;
  /** Puts an encoded frame on the link, if there is one. */
  readonly send: (frame: Uint8Array) => void;
  /** The result, or a throw. */
  readonly onRequest: (op: string, params: unknown, mark: MarkStep) => unknown;
  /** Milliseconds; undefined: no steps are told. */
  readonly stepClock: (() => number) | undefined;
}

export class RequestAnswers {
  private responses = new Map<number, Uint8Array | "running">();

  constructor(private readonly options: RequestAnswersOptions) {}

  /** Another life of the other end is there: nobody waits for the answers that are still made. */
  forget(): void {
    this.responses = new Map();
  }

  /** Whether the request is known; then its answer goes out again, or comes by itself. */
  again({ sequence }: Frame): boolean {
    const known = this.responses.get(sequence);
    if (known instanceof Uint8Array) this.options.send(known);
    return known !== undefined;
  }

  answer(id: number, op: string, params: unknown, steps: boolean): void {
    const { responses } = this;
    responses.set(id, "running");
    const { stepClock, onRequest } = this.options;
    const marks = steps && stepClock !== undefined ? new StepMarks(stepClock) : undefined;
    const respond = (body: Record<string, unknown>): void => {
      const told = marks === undefined ? body : { ...body, steps: marks.steps };
      if (responses === this.responses) this.respond(id, told);
    };
    const mark = marks?.mark ?? unmarked;
    new Promise((resolve) => resolve(onRequest(op, params, mark))).then(
      (result) => respond({ ok: true, result: result ?? null }),
      (error: unknown) =>
        respond({ ok: false, error: errorToRecord(error, { code: "Internal", operation: op }) }),
    );
  }

  private respond(id: number, body: unknown): void {
    const { text, send } = this.options;
    const response = encodeFrame(FrameType.Response, 0, id, text.encode(JSON.stringify(body)));
    this.responses.set(id, response);
    if (this.responses.size > REMEMBERED_RESPONSES) {
      for (const [old, state] of this.responses) {
        if (state === "running") continue;
        this.responses.delete(old);
        break;
      }
    }
    send(response);
  }
}
