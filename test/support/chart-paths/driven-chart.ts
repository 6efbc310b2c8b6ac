/**
 * A real chart whose effects end when they are told to, on a simulated clock. Nothing in it waits, so thousands can be driven.
 *
 * Every effect that the chart names is held, its child charts included: each chart is looked at by itself.
 */
import {
  type ActorLogic,
  type AnyActorRef,
  type AnyEventObject,
  type AnyMachineSnapshot,
  type AnyStateMachine,
  type AnyTransitionDefinition,
  createActor,
  type InspectedMicrostepEvent,
  type NonReducibleUnknown,
  SimulatedClock,
  type Snapshot,
} from "xstate";

/** What can happen to a chart. */
export type Move =
  | { readonly type: "event"; readonly event: AnyEventObject }
  /** @property which which of the results that are of interest */
  | { readonly type: "ends"; readonly effect: string; readonly which: number }
  | { readonly type: "fails"; readonly effect: string }
  /** Nothing else happens until the next deadline has passed. */
  | { readonly type: "time" };

type Held = Snapshot<unknown> & { readonly input: NonReducibleUnknown };
type HeldEvent =
  | { readonly type: "ends"; readonly output: unknown }
  | { readonly type: "fails"; readonly error: unknown };

/** Stands for an effect, and for a stream of events that says nothing. */
const held: ActorLogic<Held, HeldEvent, NonReducibleUnknown> = {
  getInitialSnapshot: (_, input) => ({ status: "active", output: undefined, error: undefined, input }),
  transition: ({ input }, event) => {
    if (event.type === "ends") return { status: "done", output: event.output, error: undefined, input };
    if (event.type === "fails") return { status: "error", output: undefined, error: event.error, input };
    return { status: "active", output: undefined, error: undefined, input };
  },
  getPersistedSnapshot: (snapshot) => snapshot,
};

/** xstate's simulated clock, which also says what it waits for. */
class KnownClock extends SimulatedClock {
  private readonly ends = new Map<number, number>();

  override setTimeout(call: (...args: unknown[]) => void, ms: number): number {
    const id = super.setTimeout(() => {
      this.ends.delete(id);
      call();
    }, ms);
    this.ends.set(id, this.now() + ms);
    return id;
  }

  override clearTimeout(id: number): void {
    this.ends.delete(id);
    super.clearTimeout(id);
  }

  /** Milliseconds until each deadline, the next one first. */
  get remaining(): readonly number[] {
    return [...this.ends.values()].map((end) => end - this.now()).sort((a, b) => a - b);
  }
}

/** The chart with all of its effects held. */
export function withHeldEffects(machine: AnyStateMachine): AnyStateMachine {
  const names = Object.keys(machine.implementations.actors);
  return machine.provide({ actors: Object.fromEntries(names.map((name) => [name, held])) });
}

/** What a chart has done. */
export interface Log {
  readonly taken: ReadonlySet<AnyTransitionDefinition>;
  /** States that it was in, however shortly. */
  readonly passed: ReadonlySet<string>;
}

export interface OpenEffect {
  readonly name: string;
  readonly input: unknown;
}

export class DrivenChart {
  readonly clock = new KnownClock();
  /** What the chart has done since it was last asked: the transitions that it took, and the states that it was in. */
  private log: { readonly taken: Set<AnyTransitionDefinition>; readonly passed: Set<string> } = {
    taken: new Set<AnyTransitionDefinition>(),
    passed: new Set<string>(),
  };
  private readonly actor;
  private broken: unknown;

  /** @param machine of {@link withHeldEffects} */
  constructor(machine: AnyStateMachine, input: unknown) {
    this.actor = createActor(machine, {
      input,
      clock: this.clock,
      inspect: (event) => {
        if (event.type === "@xstate.microstep") this.note(event);
      },
    });
    this.actor.subscribe({
      error: (error) => {
        this.broken = error;
      },
    });
    this.actor.start();
  }

  /** @see log */
  takeLog(): Log {
    const { log } = this;
    this.log = { taken: new Set(), passed: new Set() };
    return log;
  }

  get snapshot(): AnyMachineSnapshot {
    if (this.broken !== undefined) throw this.broken;
    return this.actor.getSnapshot();
  }

  get children(): readonly (readonly [string, AnyActorRef])[] {
    const children: Record<string, AnyActorRef | undefined> = this.snapshot.children;
    return Object.entries(children).flatMap(([id, child]) => (child === undefined ? [] : [[id, child]]));
  }

  /** Effects that have neither ended nor failed. */
  get open(): readonly OpenEffect[] {
    return this.children.flatMap(([, child]) => {
      const { status, input } = child.getSnapshot() as Held;
      return status === "active" ? [{ name: nameOf(child), input }] : [];
    });
  }

  private note({ snapshot, _transitions }: InspectedMicrostepEvent): void {
    for (const transition of _transitions) {
      this.log.taken.add(transition);
      this.log.passed.add(transition.source.path.join("."));
    }
    for (const state of statesOf(snapshot as AnyMachineSnapshot)) this.log.passed.add(state);
  }

  /** @param results those of interest, by effect */
  make(move: Move, results: (effect: OpenEffect) => readonly unknown[] = () => []): void {
    if (move.type === "event") this.actor.send(move.event);
    else if (move.type === "time") this.clock.increment(this.clock.remaining[0] ?? 0);
    else {
      const child = this.children.find(
        ([, each]) => nameOf(each) === move.effect && each.getSnapshot().status === "active",
      )?.[1];
      if (child === undefined) throw new Error(`${move.effect} is not under way`);
      const { input } = child.getSnapshot() as Held;
      if (move.type === "fails") child.send({ type: "fails", error: new Error("it did not work") });
      else child.send({ type: "ends", output: results({ name: move.effect, input })[move.which] });
    }
  }
}

/** `stopping`, `stopping.vmm`, …: a state with those around it. */
export function statesOf({ _nodes }: Pick<AnyMachineSnapshot, "_nodes">): string[] {
  return _nodes.map(({ path }) => path.join("."));
}

function nameOf(child: AnyActorRef): string {
  return typeof child.src === "string" ? child.src : "";
}
