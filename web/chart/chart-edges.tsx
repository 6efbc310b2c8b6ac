/** The transitions of a chart. The one that was taken last is drawn anew each time, as a stroke that runs along it. */

import type { GraphEdge } from "../../src/charts/graph.ts";
import type { Layout, PlacedEdge } from "../../src/charts/layout.ts";
import type { HistoryEntry } from "../../src/contracts/inspection.ts";
import { type Hands, TIP } from "./chart-states.tsx";

const LINE = 13;
/** Of a label's first line, from its top. */
const FIRST_LINE = 10;

export interface ChartEdgesProps {
  readonly layout: Layout;
  /** Id of the edge that was taken last. */
  readonly taken: string | undefined;
  readonly by: HistoryEntry | undefined;
  readonly hands: Hands;
}

export function ChartEdges({ layout, taken, by, hands }: ChartEdgesProps) {
  const last = layout.edges.find(({ edge }) => edge.id === taken);
  return (
    <g>
      <defs>
        <marker
          id="arrow"
          viewBox="0 0 8 8"
          refX="7"
          refY="4"
          markerWidth="7"
          markerHeight="7"
          orient="auto-start-reverse"
        >
          <path className="arrow" d="M0.5 0.8 7.2 4 0.5 7.2Z" />
        </marker>
        <marker
          id="arrow-taken"
          viewBox="0 0 8 8"
          refX="7"
          refY="4"
          markerWidth="6"
          markerHeight="6"
          orient="auto-start-reverse"
        >
          <path className="arrow-taken" d="M0.5 0.8 7.2 4 0.5 7.2Z" />
        </marker>
      </defs>
      {layout.edges.map((placed) => (
        <Edge key={placed.edge.id} placed={placed} isTaken={placed.edge.id === taken} hands={hands} />
      ))}
      {last !== undefined && (
        <path
          key={by?.id}
          className={by?.error === undefined ? "edge-taken" : "edge-taken edge-failed"}
          d={last.path}
          pathLength={1}
          markerEnd="url(#arrow-taken)"
          aria-hidden="true"
        />
      )}
    </g>
  );
}

interface EdgeProps {
  readonly placed: PlacedEdge;
  readonly isTaken: boolean;
  readonly hands: Hands;
}

function Edge({ placed: { edge, path, label, lines }, isTaken, hands }: EdgeProps) {
  return (
    <g
      role="button"
      className="edge"
      data-item={edge.id}
      data-taken={isTaken}
      data-inner={edge.from.includes(".")}
      tabIndex={hands.current === edge.id ? 0 : -1}
      aria-label={`${lines.join(" ")}, from ${edge.from} to ${edge.to}: ${eventsOf(edge)}`}
      aria-describedby={TIP}
      onMouseEnter={() => hands.hovered(edge.id)}
      onMouseLeave={() => hands.hovered(undefined)}
      onFocus={() => hands.focused(edge.id)}
      onBlur={() => hands.focused(undefined)}
    >
      <path className="edge-reach" d={path} />
      <path className="edge-line" d={path} markerEnd="url(#arrow)" />
      <rect
        className="edge-ground"
        x={label.x}
        y={label.y - 1}
        width={label.width}
        height={label.height}
        rx={3}
      />
      <text className="edge-label">
        {lines.map((line, index) => (
          <tspan key={line} x={label.x + 4} y={label.y + FIRST_LINE + index * LINE}>
            {`${line} `}
          </tspan>
        ))}
      </text>
    </g>
  );
}

function eventsOf({ transitions }: GraphEdge): string {
  return transitions
    .map(({ on, guard }) => `${on === "" ? "always" : on}${guard ? ` if ${guard}` : ""}`)
    .join(", ");
}
