/**
 * Calls of CRI, each with a bound: one that ends neither well nor with an error that may be is a finding.
 *
 * Which errors may be depends on what was killed meanwhile. The death of the daemon may only be seen in calls for which
 * containerd asks the Controller, and only as Unavailable; Task calls are kept by the keeper.
 */
import { type BlazarError, reasonOf } from "../../src/contracts/errors.ts";
import { pause, within } from "../../src/lib/async.ts";
import type { Outages } from "./outages.ts";
import type { ChaosRecord, Kill } from "./record.ts";

export interface Call<Result> {
  /** For people: `StopPodSandbox w0-s1-3`. */
  readonly name: string;
  /** The pod's name; its VM may have been killed. */
  readonly pod: string | undefined;
  /** Whether containerd asks the Controller for it. */
  readonly asksController: boolean;
  readonly boundMs: number;
  /** Whether it may fail by what chaos itself does at the same time, such as a stop of the container. */
  readonly mayFail?: () => boolean;
  readonly work: () => Promise<Result>;
}

export type Answer<Result> =
  | { readonly ok: true; readonly value: Result }
  /** It failed, as it may. */
  | { readonly ok: false; readonly kills: ReadonlySet<Kill>; readonly error: unknown };

const UNAVAILABLE =
  /unavailable|error reading from server|connection (refused|reset|error)|EOF|transport|shutting down|call again|ttrpc: closed|dial unix/i;
/** A call that has gone past its bound is waited for so much longer, so that what it does is over. */
const GIVE_UP_MS = 120_000;

const AGAIN_MS = 300;

/** What is done about a call that hangs, before anything else: ask the daemon why. */
export type OnStuck = (call: string, pod: string | undefined) => Promise<void>;

export class Calls {
  constructor(
    private readonly record: ChaosRecord,
    private readonly outages: Outages,
    private readonly onStuck: OnStuck,
  ) {}

  async make<Result>(call: Call<Result>): Promise<Answer<Result>> {
    const { record, outages } = this;
    const from = performance.now();
    record.calls++;
    record.event(`${call.name} …`);
    const outcome = call.work().then(
      (value): Answer<Result> => ({ ok: true, value }),
      (error: unknown): Answer<Result> => ({ ok: false, kills: new Set(), error }),
    );
    const answer = await this.bounded(call, outcome, from);
    const ms = Math.round(performance.now() - from);
    if (answer.ok) {
      record.event(`${call.name} done in ${ms} ms`);
      return answer;
    }
    const kills = outages.during(from, call.pod);
    record.refused++;
    record.event(`${call.name} failed after ${ms} ms: ${reasonOf(answer.error)}`);
    if (!mayFail(call, kills, answer.error))
      record.found(
        "wrong",
        `${call.name} failed: ${reasonOf(answer.error)} (killed meanwhile: ${[...kills].join(", ") || "nothing"})`,
      );
    return { ...answer, kills };
  }

  /** Calls again and again until it works, as kubelet does. All attempts together have one bound. */
  insist<Result>(call: Call<Result>): Promise<Answer<Result>> {
    const { outages, record } = this;
    const began = performance.now();
    let told = "";
    const work = async (): Promise<Result> => {
      for (;;) {
        const from = performance.now();
        try {
          return await call.work();
        } catch (error) {
          const late = from - began > call.boundMs + outages.awayMs(began) + GIVE_UP_MS;
          if (late || !mayFail(call, outages.during(from, call.pod), error)) throw error;
          const reason = reasonOf(error);
          if (reason !== told) record.event(`${call.name} is tried again: ${reason}`);
          told = reason;
          record.refused++;
          await pause(AGAIN_MS);
        }
      }
    };
    return this.make({ ...call, work });
  }

  /** Waits for the outcome; tells once if it takes too long. */
  private async bounded<Result>(
    call: Call<Result>,
    outcome: Promise<Answer<Result>>,
    from: number,
  ): Promise<Answer<Result>> {
    for (;;) {
      const left = call.boundMs + this.outages.awayMs(from) - (performance.now() - from);
      const answer = await within(outcome, Math.max(0, left));
      if (answer !== undefined) return answer;
      const now = call.boundMs + this.outages.awayMs(from) - (performance.now() - from);
      if (now > 0) continue;
      const away = Math.round(this.outages.awayMs(from));
      this.record.found(
        "stuck",
        `${call.name} has not ended within ${call.boundMs} ms (others were away for ${away} ms)`,
      );
      await this.onStuck(call.name, call.pod);
      return (await within(outcome, GIVE_UP_MS)) ?? { ok: false, kills: new Set(), error: "given up" };
    }
  }
}

function mayFail(call: Call<unknown>, kills: ReadonlySet<Kill>, error: unknown): boolean {
  if (call.mayFail?.() === true) return true;
  if (kills.has("containerd") || kills.has("keeper") || kills.has("vmm") || kills.has("hang")) return true;
  if (!kills.has("daemon") && !kills.has("term")) return false;
  if (!call.asksController) return false;
  return (error as Partial<BlazarError>).kind === "unavailable" || UNAVAILABLE.test(reasonOf(error));
}
