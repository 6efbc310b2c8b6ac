/**
 * Walks through everything that can happen to a chart, breadth first: what is met first is met by a shortest path.
 *
 * xstate's traversal asks for a function from a state and an event to the next state. A chart that spawns children and looks at its
 * own snapshot has none. So a place is the path that leads to it, and a real chart is led along it.
 */
import type { ActorLogic, AnyEventObject, AnyMachineSnapshot, AnyStateMachine, Snapshot } from "xstate";
import { getAdjacencyMap } from "xstate/graph";
import {
  DrivenChart,
  type Log,
  type Move,
  type OpenEffect,
  statesOf,
  withHeldEffects,
} from "./driven-chart.ts";
import { invokedBy } from "./parts.ts";

export interface ChartUnderSearch {
  readonly machine: AnyStateMachine;
  /** How the chart may begin, by name. */
  readonly inputs: Readonly<Record<string, unknown>>;
  /** Everything that may be told to the chart now, whether it takes it or not. */
  readonly events: (snapshot: AnyMachineSnapshot) => readonly AnyEventObject[];
  /** What an effect may end with, if that makes a difference. */
  readonly results?: (effect: OpenEffect) => readonly unknown[] | undefined;
  /** What of its context the chart will look at: where only the rest differs, the same can happen. */
  readonly matters: (snapshot: AnyMachineSnapshot) => unknown;
}

/** How a chart begins, and what happens to it then. */
export interface Path {
  readonly input: string;
  readonly moves: readonly Move[];
}

/** A situation that a chart can come to. */
export interface Place {
  /** Equal where the same can happen next. */
  readonly key: string;
  /** The key of the place before; undefined: here the chart begins. */
  readonly from: string | undefined;
  readonly path: Path;
  /** States that the chart is in, the innermost last. */
  readonly states: readonly string[];
  /** What the chart has done in the last move. */
  readonly log: Log;
  readonly next: readonly Move[];
  readonly isFinal: boolean;
}

export interface Walk {
  /** All that differ, the nearest first. */
  readonly places: readonly Place[];
  /** Where each beginning leads, and each move from each of the places. */
  readonly arrivals: readonly Place[];
}

/** As xstate's traversal wants it. */
type Visit = Snapshot<unknown> & { readonly place: Place | undefined };
type Step = Move | { readonly type: "begin"; readonly input: string };

export class ChartSearch {
  readonly machine: AnyStateMachine;
  private readonly invoked: ReadonlySet<string>;
  /** A chart that has been led to a place already: few moves change anything. */
  private atHand: { readonly key: string; readonly chart: DrivenChart } | undefined;

  constructor(private readonly chart: ChartUnderSearch) {
    this.machine = withHeldEffects(chart.machine);
    this.invoked = invokedBy(this.machine);
  }

  walk(): Walk {
    const arrivals: Place[] = [];
    const begins = Object.keys(this.chart.inputs).map((input): Step => ({ type: "begin", input }));
    const logic: ActorLogic<Visit, Step> = {
      getInitialSnapshot: () => visit(undefined),
      transition: ({ place }, step) => {
        const next = step.type === "begin" ? this.begin(step.input) : place && this.follow(place, step);
        if (next !== undefined) arrivals.push(next);
        return visit(next);
      },
      getPersistedSnapshot: (snapshot) => snapshot,
    };
    const found = getAdjacencyMap(logic, {
      events: ({ place }) => place?.next ?? begins,
      serializeState: ({ place }) => place?.key ?? "nowhere",
    });
    const places = Object.values(found).flatMap(({ state: { place } }) =>
      place === undefined ? [] : [place],
    );
    return { places, arrivals };
  }

  /** A chart that has gone a path. */
  lead({ input, moves }: Path): DrivenChart {
    const chart = new DrivenChart(this.machine, this.chart.inputs[input]);
    for (const move of moves) chart.make(move, this.resultsOf);
    return chart;
  }

  private begin(input: string): Place {
    const path = { input, moves: [] };
    return this.placeOf(this.lead(path), path, undefined);
  }

  /** Where a move leads. */
  private follow(from: Place, move: Move): Place {
    const chart = this.atHand?.key === from.key ? this.atHand.chart : this.lead(from.path);
    chart.takeLog();
    chart.make(move, this.resultsOf);
    const { input, moves } = from.path;
    const place = this.placeOf(chart, { input, moves: [...moves, move] }, from.key);
    this.atHand = place.key === from.key ? { key: from.key, chart } : undefined;
    return place;
  }

  private placeOf(chart: DrivenChart, path: Path, from: string | undefined): Place {
    const { snapshot, open, children, clock } = chart;
    const underWay = open.map(({ name }) => name);
    const ids = children.map(([id]) => id);
    const matters = this.chart.matters(snapshot);
    const isFinal = snapshot.status === "done";
    return {
      key: JSON.stringify([snapshot.value, matters, underWay, ids, clock.remaining]),
      ...{ from, path, states: statesOf(snapshot), log: chart.takeLog() },
      ...{ isFinal, next: isFinal ? [] : this.movesOf(chart) },
    };
  }

  private movesOf({ snapshot, open, clock }: DrivenChart): Move[] {
    const events = this.chart.events(snapshot).map((event): Move => ({ type: "event", event }));
    const effects = open.flatMap((effect): Move[] => {
      const { name } = effect;
      const ends = this.resultsOf(effect).map((_, which): Move => ({ type: "ends", effect: name, which }));
      return ends.length === 0 ? [] : [...ends, { type: "fails", effect: name }];
    });
    return [...events, ...effects, ...(clock.remaining.length === 0 ? [] : [{ type: "time" } as const])];
  }

  /** None: nobody waits for its end. */
  private readonly resultsOf = (effect: OpenEffect): readonly unknown[] => {
    if (!this.invoked.has(effect.name)) return [];
    return this.chart.results?.(effect) ?? [undefined];
  };
}

function visit(place: Place | undefined): Visit {
  return { status: "active", output: undefined, error: undefined, place };
}
