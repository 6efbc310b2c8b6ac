/**
 * Reads the history of one sandbox off its charts: which state led to which, by what, and what each state waited for.
 *
 * Listens to xstate's inspection events (the option `inspect` of createActor). A macrostep is one transition: what a chart
 * passes through without waiting is not told. Must not hold an actor beyond its end.
 */
import type { AnyActorRef, AnyMachineSnapshot, InspectionEvent } from "xstate";
import { activePaths, chartOfMachine, eventName, statePath } from "../../charts/names.ts";
import { blazarError } from "../../contracts/errors.ts";
import type { ChartKey, ChartName } from "../../contracts/inspection.ts";
import { contextOf } from "./context.ts";
import type { Entries } from "./entries.ts";

/** A chart as the recorder knows it. */
export interface ChartView {
  readonly key: ChartKey;
  readonly chart: ChartName;
  /** Of the innermost active state. */
  readonly path: string;
  /** When an active state was entered; undefined: it is not active. */
  entered(path: string): number | undefined;
  /** What the chart knows, redacted; see context.ts. */
  readonly context: Readonly<Record<string, unknown>>;
  /** How long each wait may take; see contracts/deadlines.ts. */
  readonly deadlines: Readonly<Record<string, number>>;
  /** It goes no further; it is shown as it was last. */
  readonly ended: boolean;
}

/** Told of what the charts do. */
export interface ChartObserver {
  /** Entries that have caused what is sent now; undefined = nothing of this sandbox has. */
  cause(key: ChartKey): number | undefined;
  moved(move: ChartMove): void;
}

/** A chart has gone from one state to another. */
export interface ChartMove {
  readonly key: ChartKey;
  readonly chart: ChartName;
  readonly to: string;
  readonly at: number;
  /** The states that were left, outer ones first, and how long each was held. */
  readonly left: readonly { readonly path: string; readonly ms: number }[];
}

class Track implements ChartView {
  readonly ended = false;
  path = "";
  /** When each active state was entered, outer ones first. */
  since: readonly number[] = [];
  /** The entry that what happens now in this chart is caused by. */
  current: number | undefined;
  /** Its last transition. */
  transition: number | undefined;
  /** The event that it deals with now, and where that has led so far. */
  pending: { readonly event: object; snapshot: AnyMachineSnapshot } | undefined;
  /** Events that were sent to it and are not dealt with yet, and what has caused them. They are dealt with in this order. */
  sent: { readonly event: object; readonly cause: number }[] = [];

  constructor(
    readonly key: ChartKey,
    readonly chart: ChartName,
    readonly actor: AnyActorRef,
  ) {}

  entered(path: string): number | undefined {
    return this.since[activePaths(this.path).indexOf(path)];
  }

  get context(): Readonly<Record<string, unknown>> {
    return contextOf(this.chart, this.raw);
  }

  get deadlines(): Readonly<Record<string, number>> {
    return (this.raw as { readonly deadlines: Readonly<Record<string, number>> }).deadlines;
  }

  private get raw(): unknown {
    return (this.actor.getSnapshot() as AnyMachineSnapshot).context;
  }
}

/** A chart as it was last. */
class Frozen implements ChartView {
  readonly ended = true;

  constructor(
    readonly key: ChartKey,
    readonly chart: ChartName,
    readonly path: string,
    readonly since: readonly number[],
    readonly context: Readonly<Record<string, unknown>>,
    readonly deadlines: Readonly<Record<string, number>>,
  ) {}

  entered(path: string): number | undefined {
    return this.since[activePaths(this.path).indexOf(path)];
  }
}

interface Effect {
  readonly actor: AnyActorRef;
  readonly entry: number;
  readonly track: Track;
}

export class ChartRecorder {
  /** By actor; those that run, and the sandbox's own. */
  private readonly tracks = new Map<AnyActorRef, Track>();
  private effects: Effect[] = [];
  /** The charts of a VM's boot and of the sandbox are shown after their end. */
  private ended: readonly Frozen[] = [];

  constructor(
    private readonly entries: Entries,
    private readonly now: () => number,
    private readonly observer: ChartObserver,
  ) {}

  /** As they are now: the sandbox's first. */
  get charts(): readonly ChartView[] {
    return this.views;
  }

  private get views(): readonly (Track | Frozen)[] {
    const running = [...this.tracks.values()];
    return [...running.slice(0, 1), ...this.ended, ...running.slice(1)];
  }

  /** The effect that was begun last and goes on, of a chart if one is named. */
  effectOf(key: ChartKey | undefined): number | undefined {
    let found: number | undefined;
    for (const { entry, track } of this.effects) if (key === undefined || track.key === key) found = entry;
    return found;
  }

  readonly inspect = (event: InspectionEvent): void => {
    // xstate's type for other people's actors; these are its own
    const actor = event.actorRef as AnyActorRef;
    if (event.type === "@xstate.microstep") return this.stepped(actor, event);
    if (event.type === "@xstate.snapshot") return this.settled(actor, event.event);
    if (event.type === "@xstate.event")
      return this.sent(actor, event.sourceRef as AnyActorRef | undefined, event.event);
    if (event.type === "@xstate.actor" && this.tracks.size === 0) hearDirectly(actor, this.inspect);
  };

  /** Everything that is shown of the charts from now on is what they are now. */
  freeze(): readonly ChartView[] {
    const frozen = this.views.filter(({ chart }) => chart === "sandbox" || chart === "boot").map(frozenView);
    this.tracks.clear();
    this.effects = [];
    this.ended = frozen;
    return frozen;
  }

  private sent(target: AnyActorRef, source: AnyActorRef | undefined, event: { readonly type: string }): void {
    const from = source && this.tracks.get(source);
    if (from !== undefined) this.flush(from);
    if (event.type === "xstate.init") return this.began(target, from);
    const track = this.tracks.get(target);
    if (track === undefined) return;
    const cause = this.causeOf(track, source, from);
    if (cause !== undefined) track.sent.push({ event, cause });
    // a chart that is an effect itself also sends to itself, by its deadlines
    if (source !== undefined && source !== target) this.effectEnded(source, event);
  }

  private causeOf(
    track: Track,
    source: AnyActorRef | undefined,
    from: Track | undefined,
  ): number | undefined {
    if (source === undefined) return this.observer.cause(track.key);
    // a deadline that has passed is the state's own
    if (from === track) return track.transition;
    return this.effectBy(source)?.entry ?? from?.current;
  }

  private began(actor: AnyActorRef, parent: Track | undefined): void {
    const invoked = parent !== undefined && isInvoked(parent.actor, actor);
    const chart = chartOf(actor);
    if (invoked) {
      const { key, current, transition } = parent;
      const entry = this.entries.begin({
        kind: "effect",
        ...causedBy(current ?? transition),
        chart: key,
        at: this.now(),
        name: String(actor.src),
      });
      this.effects.push({ actor, entry, track: parent });
    }
    if (chart === undefined) return;
    const snapshot = actor.getSnapshot() as AnyMachineSnapshot;
    const track = new Track(keyOf(chart, snapshot.context), chart, actor);
    if (chart === "boot") this.ended = this.ended.filter(({ key }) => key !== "boot");
    this.tracks.set(actor, track);
    track.current = this.effectBy(actor)?.entry ?? parent?.current ?? this.observer.cause(track.key);
    this.move(track, "", snapshot);
  }

  private stepped(
    actor: AnyActorRef,
    { event, snapshot }: { readonly event: object; readonly snapshot: unknown },
  ): void {
    const track = this.tracks.get(actor);
    if (track === undefined) return;
    const next = snapshot as AnyMachineSnapshot;
    if (track.pending === undefined) track.pending = { event, snapshot: next };
    else track.pending.snapshot = next;
  }

  /** An actor has dealt with an event, and whatever that has started is started. */
  private settled(actor: AnyActorRef, event: { readonly type: string }): void {
    const track = this.tracks.get(actor);
    if (track !== undefined) {
      this.flush(track);
      const last = track.sent.findIndex((sent) => sent.event === event);
      if (last >= 0) track.sent = track.sent.slice(last + 1);
      this.untrackEnded(track);
    }
    if (event.type === "xstate.stop") this.effectEnded(actor, undefined);
  }

  private flush(track: Track): void {
    const { pending } = track;
    if (pending === undefined) return;
    track.pending = undefined;
    const { event, snapshot } = pending;
    track.current = track.sent.find((sent) => sent.event === event)?.cause;
    if (snapshot.status === "stopped") return;
    this.move(track, eventName((event as { readonly type: string }).type), snapshot);
  }

  private move(track: Track, name: string, snapshot: AnyMachineSnapshot): void {
    const path = statePath(snapshot.value);
    const from = track.path;
    if (path === from) return;
    const at = this.now();
    const [before, now] = [activePaths(from), activePaths(path)];
    const held = track.since;
    track.path = path;
    track.since = now.map((each, depth) => (each === before[depth] ? (held[depth] ?? at) : at));
    const { key, chart, current } = track;
    const moved = { kind: "transition", ...causedBy(current), chart: key, at, name, from, to: path } as const;
    track.transition = this.entries.add(moved);
    track.current = track.transition;
    const left = before.flatMap((each, depth) =>
      each === now[depth] ? [] : [{ path: each, ms: at - (held[depth] ?? at) }],
    );
    this.observer.moved({ key, chart, to: path, at, left });
  }

  private untrackEnded(track: Track): void {
    if (track.actor.getSnapshot().status === "active" || track.key === "sandbox") return;
    this.tracks.delete(track.actor);
    if (track.chart === "boot") this.ended = [frozenView(track)];
  }

  private effectBy(actor: AnyActorRef): Effect | undefined {
    return this.effects.find((effect) => effect.actor === actor);
  }

  /** @param event what it has told; undefined: the state that waited for it was left */
  private effectEnded(actor: AnyActorRef, event: { readonly type: string } | undefined): void {
    const effect = this.effectBy(actor);
    if (effect === undefined) return;
    this.effects = this.effects.filter((each) => each !== effect);
    this.entries.end(effect.entry, event === undefined ? CALLED_OFF : errorIn(event));
  }
}

/**
 * xstate copies each of its events before it tells it, several hundred a start, to add what nobody here reads. So it is told by
 * its actors directly. Where that is not possible, by another version of xstate, the copies come.
 */
function hearDirectly({ system }: AnyActorRef, inspect: (event: InspectionEvent) => void): void {
  const inner = system as unknown as { _sendInspectionEvent?: unknown };
  if (typeof inner._sendInspectionEvent === "function") inner._sendInspectionEvent = inspect;
}

const CALLED_OFF = blazarError("Cancelled", "go on with it", "the state that waited for it was left");

function errorIn(event: { readonly type: string }): unknown {
  if (!event.type.startsWith("xstate.error.")) return undefined;
  return (event as { readonly error?: unknown }).error ?? new Error("it failed");
}

function causedBy(cause: number | undefined): { readonly cause?: number } {
  return cause === undefined || cause === 0 ? {} : { cause };
}

function frozenView({ key, chart, path, since, context, deadlines }: Track | Frozen): Frozen {
  return new Frozen(key, chart, path, since, context, deadlines);
}

function chartOf(actor: AnyActorRef): ChartName | undefined {
  const { logic } = actor as unknown as { readonly logic: { readonly root?: unknown; readonly id?: string } };
  return logic.root === undefined || logic.id === undefined ? undefined : chartOfMachine(logic.id);
}

/** Streams of events are spawned; what a state waits for is invoked, and xstate names it after that state. */
function isInvoked(parent: AnyActorRef, actor: AnyActorRef): boolean {
  const snapshot = parent.getSnapshot() as AnyMachineSnapshot;
  return snapshot._nodes.some(({ invoke }) => invoke.some(({ id }) => id === actor.id));
}

function keyOf(chart: ChartName, context: unknown): ChartKey {
  if (chart === "sandbox" || chart === "boot") return chart;
  const { containerId, execId } = context as { readonly containerId: string; readonly execId?: string };
  return chart === "container" ? `container/${containerId}` : `process/${containerId}/${execId ?? ""}`;
}
