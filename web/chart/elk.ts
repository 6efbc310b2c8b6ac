/**
 * Asks ELK for layouts, in a web worker of its own: a large chart takes half a second, and the page must not stand still.
 *
 * Each chart is laid out once for each direction.
 */
import ElkConstructor, { type ElkNode } from "elkjs/lib/elk-api.js";
import { graphOf } from "../../src/charts/graph.ts";
import { type Direction, fromElk, type Layout, toElk } from "../../src/charts/layout.ts";
import type { ChartDefinition } from "../../src/contracts/inspection.ts";
import { trustedWorkerUrl } from "../data/trusted.ts";

const WORKER = "/elk-worker.js";

const layouts = new Map<string, Promise<Layout>>();
let elk: InstanceType<typeof ElkConstructor> | undefined;

/** The layout of a chart; the same object whenever it is asked for again. */
export function layoutOf(definition: ChartDefinition, direction: Direction): Promise<Layout> {
  const key = `${definition.name} ${direction}`;
  const before = layouts.get(key);
  if (before !== undefined) return before;
  const layout = lay(definition, direction);
  layouts.set(key, layout);
  layout.catch(() => layouts.delete(key));
  return layout;
}

async function lay(definition: ChartDefinition, direction: Direction): Promise<Layout> {
  elk ??= new ElkConstructor({
    workerUrl: WORKER,
    workerFactory: () => new Worker(trustedWorkerUrl(WORKER)),
  });
  const graph = graphOf(definition);
  const answer: ElkNode = await elk.layout(toElk(graph, direction));
  return fromElk(answer, graph);
}
