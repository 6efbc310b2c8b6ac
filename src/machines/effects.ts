/**
 * Named stubs for the effects of the charts: what a machine waits for, without saying how it is done.
 *
 * A stub that was not provided rejects with its name, so that a forgotten binding shows at once.
 */
import { type EventObject, fromEventObservable, fromPromise } from "xstate";

/** What an effect is told: whose it is. The effect finds the rest by these ids. */
export interface EffectInput {
  readonly sandboxId: string;
  readonly containerId?: string;
  readonly execId?: string;
}

/** A one-shot effect; its implementation gets an AbortSignal that fires when the chart moves on. */
export function promiseStub<Output, Input = EffectInput>(name: string) {
  return fromPromise<Output, Input>(() => Promise.reject(new Error(`effect ${name} is not bound`)));
}

/** A stub for each of some one-shot effects that answer nothing. */
export function effectStubs<Name extends string>(names: readonly Name[]) {
  return forEachEffect(names, (name) => promiseStub<void>(name));
}

/** Makes a value for each effect: its stub in a chart, what stands for it in the actors. */
export function forEachEffect<Name extends string, Value>(
  names: readonly Name[],
  make: (name: Name) => Value,
): Record<Name, Value> {
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<Name, Value>;
}

/** A stream of events for the machine that spawned it; must never error, failures are events. */
export function eventStub<Event extends EventObject, Input = EffectInput>(name: string) {
  return fromEventObservable<Event, Input>(() => {
    throw new Error(`event source ${name} is not bound`);
  });
}
