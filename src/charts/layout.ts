/**
 * From a graph to what ELK lays out, and from its answer to places. Pure; elk.ts asks the worker.
 *
 * ELK's layered algorithm (Sugiyama) lays out each state's inner chart by itself, an innermost one across, so that a chart fits on
 * a page. So an edge that leaves an outer state begins at its border, and its label says whose it is. All places of the answer are
 * relative to the drawing (`ROOT`).
 */
import type { ElkEdgeSection, ElkExtendedEdge, ElkNode } from "elkjs/lib/elk-api.js";
import { type Graph, type GraphEdge, type GraphState, labelOf } from "./graph.ts";

export type Direction = "DOWN" | "RIGHT";

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** What of a drawing can be explained: a state by its path, or an edge by its id. */
export interface Item {
  readonly id: string;
  readonly box: Box;
}

export interface PlacedEdge {
  readonly edge: GraphEdge;
  /** SVG path data. */
  readonly path: string;
  readonly label: Box;
  readonly lines: readonly string[];
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly states: ReadonlyMap<string, Box>;
  readonly edges: readonly PlacedEdge[];
  /** Where outer and inner charts begin: the path of the state that the dot leads to, and the line. */
  readonly beginnings: readonly { readonly to: string; readonly dot: Box; readonly path: string }[];
}

/** Of the styles in styles/chart.css. */
const NAME_WIDTH = 7.4;
const LABEL_WIDTH = 5.9;
const LABEL_LINE = 14;
const STATE_HEIGHT = 46;
const LEAST_WIDTH = 92;
const PADDING = 30;
const HEAD = 40;
const DOT = 10;
const CORNER = 6;

/** So many states stand side by side. */
const MOST_ACROSS = 3;

const BEGIN = "begin:";

const OPTIONS: Readonly<Record<string, string>> = {
  "elk.algorithm": "layered",
  "elk.hierarchyHandling": "SEPARATE_CHILDREN",
  "elk.edgeRouting": "ORTHOGONAL",
  "elk.json.shapeCoords": "ROOT",
  "elk.json.edgeCoords": "ROOT",
  "elk.layered.nodePlacement.strategy": "NETWORK_SIMPLEX",
  "elk.layered.considerModelOrder.strategy": "NODES_AND_EDGES",
  "elk.layered.cycleBreaking.strategy": "MODEL_ORDER",
  "elk.edgeLabels.placement": "CENTER",
  "elk.spacing.nodeNode": "26",
  "elk.spacing.edgeNode": "16",
  "elk.spacing.edgeEdge": "12",
  "elk.spacing.edgeLabel": "4",
  "elk.layered.spacing.nodeNodeBetweenLayers": "30",
  "elk.layered.spacing.edgeNodeBetweenLayers": "14",
  "elk.layered.spacing.edgeEdgeBetweenLayers": "10",
  "elk.padding": "[top=8,left=8,bottom=8,right=8]",
};

/** What ELK is asked. */
export function toElk(graph: Graph, direction: Direction): ElkNode {
  return {
    id: "chart",
    layoutOptions: { ...OPTIONS, "elk.direction": direction },
    ...inside("", graph.initial, graph.states, graph.edges, direction),
  };
}

/** What ELK has answered. */
export function fromElk(root: ElkNode, graph: Graph): Layout {
  const boxes = new Map<string, Box>();
  place(root.children ?? [], boxes);
  const answered = new Map(edgesOf(root).map((edge) => [edge.id, edge]));
  const edges = graph.edges.flatMap((edge): PlacedEdge[] => {
    const found = answered.get(edge.id);
    if (found === undefined) return [];
    return [
      {
        edge,
        path: pathOf(found.sections ?? []),
        label: boxOf(found.labels?.[0] ?? {}),
        lines: linesOf(edge),
      },
    ];
  });
  const beginnings = [...boxes].flatMap(([id, dot]) => {
    if (!id.startsWith(BEGIN)) return [];
    const to = id.slice(BEGIN.length);
    return [{ to, dot, path: pathOf(answered.get(`${id}→`)?.sections ?? []) }];
  });
  const states = new Map([...boxes].filter(([id]) => !id.startsWith(BEGIN)));
  return { width: root.width ?? 0, height: root.height ?? 0, states, edges, beginnings };
}

/** The states of an outer state (or of the chart), and the edges between them. */
function inside(
  outer: string,
  initial: string,
  states: readonly GraphState[],
  edges: readonly GraphEdge[],
  direction: Direction,
): { children: ElkNode[]; edges: ElkExtendedEdge[] } {
  const begins = initial !== "";
  const own = edges.flatMap((edge): ElkExtendedEdge[] => {
    const [source, target] = [childOf(outer, edge.from), childOf(outer, edge.to)];
    // an edge belongs where its ends part; one from a state to a state inside of it loops at the outer one
    const parts = source !== undefined && target !== undefined && source !== target;
    const loops = source !== undefined && source === target && (edge.from === source || edge.to === source);
    return parts || loops ? [toEdge(edge, source, target ?? source)] : [];
  });
  return {
    children: [
      ...(begins ? [beginning(initial)] : []),
      ...states.map((state) => toNode(state, edges, direction)),
    ],
    edges: [...own, ...(begins ? [beginningEdge(initial)] : [])],
  };
}

/** The state directly inside of `outer` that the path leads through. */
function childOf(outer: string, path: string): string | undefined {
  if (outer !== "" && !path.startsWith(`${outer}.`)) return undefined;
  const names = path.split(".");
  const depth = outer === "" ? 0 : outer.split(".").length;
  return names.slice(0, depth + 1).join(".");
}

function toNode(
  { definition, states }: GraphState,
  edges: readonly GraphEdge[],
  direction: Direction,
): ElkNode {
  const { path, name, effects, initial } = definition;
  const width = Math.max(
    LEAST_WIDTH,
    name.length * NAME_WIDTH + PADDING,
    longest(effects) * LABEL_WIDTH + PADDING,
  );
  if (states.length === 0) return { id: path, width, height: STATE_HEIGHT };
  const innermost = states.every((state) => state.states.length === 0);
  const across = innermost && states.length <= MOST_ACROSS ? "RIGHT" : direction;
  return {
    id: path,
    layoutOptions: {
      ...OPTIONS,
      "elk.direction": across,
      "elk.padding": `[top=${HEAD},left=12,bottom=12,right=12]`,
      "elk.nodeSize.constraints": "MINIMUM_SIZE",
      "elk.nodeSize.minimum": `(${width}, ${STATE_HEIGHT})`,
    },
    ...inside(path, initial, states, edges, across),
  };
}

function toEdge(edge: GraphEdge, source: string, target: string): ElkExtendedEdge {
  const lines = linesOf(edge);
  const width = longest(lines) * LABEL_WIDTH + 8;
  const labels = [{ text: lines.join("\n"), width, height: lines.length * LABEL_LINE }];
  return { id: edge.id, sources: [source], targets: [target], labels };
}

/** `storage: done` for an edge that is drawn from the border of the outer state. */
function linesOf(edge: GraphEdge): string[] {
  const parent = edge.from.split(".").slice(0, -1).join(".");
  const leaves = parent !== "" && !edge.to.startsWith(`${parent}.`);
  const [first = "", ...others] = labelOf(edge);
  return leaves ? [`${edge.from.slice(parent.length + 1)}: ${first}`, ...others] : [first, ...others];
}

function beginning(to: string): ElkNode {
  return { id: BEGIN + to, width: DOT, height: DOT };
}

function beginningEdge(to: string): ElkExtendedEdge {
  return { id: `${BEGIN}${to}→`, sources: [BEGIN + to], targets: [to] };
}

function place(nodes: readonly ElkNode[], boxes: Map<string, Box>): void {
  for (const node of nodes) {
    boxes.set(node.id, boxOf(node));
    place(node.children ?? [], boxes);
  }
}

function edgesOf(node: ElkNode): ElkExtendedEdge[] {
  return [...(node.edges ?? []), ...(node.children ?? []).flatMap(edgesOf)];
}

function boxOf(shape: Partial<Box>): Box {
  return { x: shape.x ?? 0, y: shape.y ?? 0, width: shape.width ?? 0, height: shape.height ?? 0 };
}

/** Lines between bend points, with rounded corners. */
function pathOf(sections: readonly ElkEdgeSection[]): string {
  return sections
    .map(({ startPoint, bendPoints = [], endPoint }) => rounded([startPoint, ...bendPoints, endPoint]))
    .join(" ");
}

interface Point {
  readonly x: number;
  readonly y: number;
}

function rounded(points: readonly Point[]): string {
  return points
    .map((point, index) => {
      const [before, after] = [points[index - 1], points[index + 1]];
      if (before === undefined) return `M${text(point)}`;
      if (after === undefined) return `L${text(point)}`;
      return `L${text(towards(point, before))} Q${text(point)} ${text(towards(point, after))}`;
    })
    .join(" ");
}

function towards(from: Point, to: Point): Point {
  const distance = Math.hypot(to.x - from.x, to.y - from.y);
  const share = distance === 0 ? 0 : Math.min(CORNER, distance / 2) / distance;
  return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share };
}

function text({ x, y }: Point): string {
  return `${x.toFixed(1)},${y.toFixed(1)}`;
}

function longest(lines: readonly string[]): number {
  return lines.reduce((most, line) => Math.max(most, line.length), 0);
}
