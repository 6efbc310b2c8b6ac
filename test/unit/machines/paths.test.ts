/** Shortest paths over each chart: what they reach, and that nothing is stuck on the way. */
import { describe, expect, it } from "vitest";
import type { AnyTransitionDefinition } from "xstate";
import { CHARTS, type Ending } from "../../support/chart-paths/charts.ts";
import type { DrivenChart, Move } from "../../support/chart-paths/driven-chart.ts";
import { eventsOf, isDeadline, nodesOf, transitionsOf, words } from "../../support/chart-paths/parts.ts";
import { ChartSearch, type Place, type Walk } from "../../support/chart-paths/search.ts";

const MOST_SHOWN = 5;

function moveWords(move: Move): string {
  if (move.type === "event") return String(move.event.type);
  if (move.type === "time") return "time passes";
  if (move.type === "fails") return `${move.effect} fails`;
  return `${move.effect} ends${move.which === 0 ? "" : ` (${move.which})`}`;
}

/** `a new sandbox, provision ends, sandbox.start ⇒ booting`. */
function pathWords({ path, states }: Place): string {
  return `${[path.input, ...path.moves.map(moveWords)].join(", ")} ⇒ ${states.at(-1)}`;
}

/** What is not reached, with the nearest place that it could have been reached from. */
function missing(wanted: readonly AnyTransitionDefinition[], { places, arrivals }: Walk): string[] {
  const taken = new Set(arrivals.flatMap(({ log }) => [...log.taken]));
  const notTaken = wanted.filter((transition) => !taken.has(transition));
  return notTaken.map((transition) => {
    const from = places.find(({ states }) => states.includes(transition.source.path.join(".")));
    return `${words(transition)} (${from === undefined ? "its state is passed at most" : pathWords(from)})`;
  });
}

/** Places from which no move, and none after it, leads to a final state. */
function withoutEnd({ places, arrivals }: Walk): readonly Place[] {
  const before = new Map(places.map(({ key }) => [key, new Set<string>()]));
  for (const { key, from } of arrivals) if (from !== undefined) before.get(key)?.add(from);
  const ending = new Set(places.filter(({ isFinal }) => isFinal).map(({ key }) => key));
  // it goes on through what is added meanwhile
  for (const key of ending) for (const from of before.get(key) ?? []) ending.add(from);
  return places.filter(({ key }) => !ending.has(key));
}

/** The nearest of some places: the others have the same reason, mostly. */
function nearest(places: readonly string[]): readonly string[] {
  return places.length <= MOST_SHOWN ? places : [...places.slice(0, MOST_SHOWN), `… ${places.length} in all`];
}

/** Ends a chart without any help. Returns why that is not right; undefined: it is. */
function troubleOf(chart: DrivenChart, { events, withinMs, reached }: Ending): string | undefined {
  const { clock } = chart;
  const begin = clock.now();
  const isOver = () => (reached?.(chart.snapshot) ?? false) || chart.snapshot.status === "done";
  for (const event of events) chart.make({ type: "event", event });
  while (!isOver() && clock.remaining.length > 0) chart.make({ type: "time" });
  if (!isOver()) return "never";
  const ms = clock.now() - begin;
  return ms > withinMs ? `after ${ms} ms` : undefined;
}

describe.each(Object.entries(CHARTS))("the chart %s", (_, chart) => {
  const search = new ChartSearch(chart);
  const { machine } = search;
  let walked: Walk | undefined;
  const walk = () => {
    walked ??= search.walk();
    return walked;
  };

  it("is told everything that it takes", () => {
    const moves = walk().arrivals.flatMap(({ path }) => path.moves.slice(-1));
    const told = new Set(moves.map((move) => (move.type === "event" ? move.event.type : "")));
    expect([...eventsOf(machine)].filter((type) => !told.has(type))).toEqual([]);
  });

  it("comes to every state", () => {
    const { arrivals } = walk();
    const reached = new Set(arrivals.flatMap(({ states, log }) => [...states, ...log.passed]));
    const states = nodesOf(machine).map(({ path }) => path.join("."));
    expect(states.filter((state) => !reached.has(state))).toEqual([]);
  });

  it("passes every deadline", () => {
    expect(missing(transitionsOf(machine).filter(isDeadline), walk())).toEqual([]);
  });

  it("takes every transition", () => {
    expect(missing(transitionsOf(machine), walk())).toEqual([]);
  });

  it("has a path to its end from every place", () => {
    expect(nearest(withoutEnd(walk()).map(pathWords))).toEqual([]);
  });

  it.each(Object.entries(chart.endings))(
    "ends by %s in time from every place, though nobody answers",
    (_event, ending) => {
      const stuck = walk().places.flatMap((place) => {
        const trouble = place.isFinal ? undefined : troubleOf(search.lead(place.path), ending);
        return trouble === undefined ? [] : [`${trouble}: ${pathWords(place)}`];
      });
      expect(nearest(stuck)).toEqual([]);
    },
  );
});
