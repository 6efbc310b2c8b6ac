/** The machines' own charts, laid out by the same ELK as in the page. */
import ElkConstructor from "elkjs/lib/elk.bundled.js";
import { expect, test } from "vitest";
import { edgeTaken, graphOf } from "../../../src/charts/graph.ts";
import { type Box, fromElk, toElk } from "../../../src/charts/layout.ts";
import { allStates } from "../../../src/charts/states.ts";
import { chartDefinitions } from "../../../src/observe/charts/definitions.ts";
import { FakeInspection } from "../../support/fake-inspection/inspection.ts";

const elk = new ElkConstructor();

const inside = (inner: Box, outer: Box): boolean =>
  inner.x >= outer.x &&
  inner.y >= outer.y &&
  inner.x + inner.width <= outer.x + outer.width + 0.5 &&
  inner.y + inner.height <= outer.y + outer.height + 0.5;

const apart = (a: Box, b: Box): boolean =>
  a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;

test.each(chartDefinitions())(
  "chart $name: every state and every transition has its place",
  async (chart) => {
    const graph = graphOf(chart);
    const layout = fromElk(await elk.layout(toElk(graph, "DOWN")), graph);
    const states = allStates(graph.states);
    const boxOf = (path: string): Box => layout.states.get(path) ?? { x: -1, y: -1, width: 0, height: 0 };
    expect([...layout.states.keys()].sort()).toEqual(states.map(({ definition }) => definition.path).sort());
    for (const { definition, states: inner } of states) {
      expect(inside(boxOf(definition.path), { x: 0, y: 0, width: layout.width, height: layout.height })).toBe(
        true,
      );
      for (const { definition: child } of inner)
        expect(inside(boxOf(child.path), boxOf(definition.path))).toBe(true);
      for (const [index, one] of inner.entries())
        for (const other of inner.slice(index + 1))
          expect(apart(boxOf(one.definition.path), boxOf(other.definition.path))).toBe(true);
    }
    expect(layout.edges.map(({ edge }) => edge.id).sort()).toEqual(graph.edges.map(({ id }) => id).sort());
    for (const { path, edge } of layout.edges) expect(path, edge.id).toMatch(/^M[\d.,]+ .*L[\d.,]+/);
    const transitions = states.flatMap(({ definition }) =>
      definition.transitions.flatMap(({ targets }) => targets),
    );
    expect(graph.edges.reduce((sum, edge) => sum + edge.transitions.length, 0)).toBe(transitions.length);
  },
);

test("what a pod's charts did goes along edges of their definitions", async () => {
  const fake = new FakeInspection();
  const id = fake.startPod({
    name: "web",
    namespace: "shop",
    path: "boot",
    fallbacks: ["fork", "clone"],
    containers: 1,
    stopAfter: 50,
  });
  fake.advance(60_000);
  const { history } = await fake.get(id);
  const graphs = new Map(chartDefinitions().map((chart) => [chart.name as string, graphOf(chart)]));
  const moved = history.filter(({ kind, from = "" }) => kind === "transition" && from !== "");
  expect(moved.length).toBeGreaterThan(8);
  for (const entry of moved) {
    const graph = graphs.get(entry.chart?.split("/", 1)[0] ?? "");
    const edge = edgeTaken(graph?.edges ?? [], entry);
    expect(edge, `${entry.chart}: ${entry.from} to ${entry.to}`).toBeDefined();
  }
});
