/**
 * A chart's definition as a graph: nested states, and one edge for all transitions with the same ends. Pure.
 *
 * The definition is the machine's own (Inspection.charts), so nothing is drawn that is not there.
 */
import type {
  ChartDefinition,
  ChartStateDefinition,
  ChartTransition,
  HistoryEntry,
} from "../contracts/inspection.ts";

/** Characters in a line of a label. */
const LINE = 24;

export interface GraphState {
  readonly definition: ChartStateDefinition;
  readonly states: readonly GraphState[];
}

export interface GraphEdge {
  readonly id: string;
  /** Path of the state that has the transitions. */
  readonly from: string;
  readonly to: string;
  readonly transitions: readonly ChartTransition[];
}

export interface Graph {
  readonly title: string;
  readonly initial: string;
  readonly states: readonly GraphState[];
  readonly edges: readonly GraphEdge[];
}

export function graphOf({ title, initial, states }: ChartDefinition): Graph {
  const edges = new Map<string, GraphEdge>();
  for (const state of states) collect(state, edges);
  return { title, initial, states: states.map(nested), edges: [...edges.values()] };
}

/** The edge along which a chart went; undefined if the definition has none. */
export function edgeTaken(edges: readonly GraphEdge[], entry: HistoryEntry): GraphEdge | undefined {
  const { from = "", to = "", name } = entry;
  const fits = edges.filter((edge) => isIn(from, edge.from) && isIn(to, edge.to));
  // the innermost state's own transition comes first, as in the machine
  const inner = fits.sort((a, b) => b.from.length - a.from.length || b.to.length - a.to.length);
  return inner.find(({ transitions }) => transitions.some(({ on }) => on === name)) ?? inner[0];
}

/** Whether a path is the state's own, or of a state in it. */
export function isIn(path: string, state: string): boolean {
  return path === state || path.startsWith(`${state}.`);
}

/** Lines of an edge's label: its events, the first few; short ones share a line. */
export function labelOf({ transitions }: GraphEdge, most = 3): string[] {
  const events = [
    ...new Set(transitions.map(({ on, guard }) => `${on === "" ? "always" : on}${guard ? " ?" : ""}`)),
  ];
  const left = events.length - most;
  const shown = left > 1 ? [...events.slice(0, most), `${left} more`] : events;
  const lines: string[] = [];
  for (const event of shown) {
    const last = lines.pop();
    const isShort = last !== undefined && last.length + event.length <= LINE;
    lines.push(...(last === undefined ? [event] : isShort ? [`${last} · ${event}`] : [last, event]));
  }
  return lines;
}

function nested(definition: ChartStateDefinition): GraphState {
  return { definition, states: definition.states.map(nested) };
}

function collect(state: ChartStateDefinition, edges: Map<string, GraphEdge>): void {
  for (const transition of state.transitions) {
    for (const to of transition.targets) {
      const id = `${state.path}→${to}`;
      const before = edges.get(id)?.transitions ?? [];
      edges.set(id, { id, from: state.path, to, transitions: [...before, transition] });
    }
  }
  for (const inner of state.states) collect(inner, edges);
}
