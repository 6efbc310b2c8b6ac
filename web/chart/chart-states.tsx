/** The states of a chart: boxes in boxes, lit where they are active, with the time that was spent in each. */

import type { Graph, GraphState } from "../../src/charts/graph.ts";
import type { Box, Layout } from "../../src/charts/layout.ts";
import { allStates } from "../../src/charts/states.ts";
import type { RunningDeadline } from "../../src/contracts/inspection.ts";
import type { ChartMoment } from "../model/moments.ts";
import { duration } from "../model/words.ts";

/** What an item of the drawing tells. */
export interface Hands {
  /** The one in the tab order. */
  readonly current: string | undefined;
  readonly hovered: (id: string | undefined) => void;
  readonly focused: (id: string | undefined) => void;
}

export const TIP = "chart-tip";

export interface ChartStatesProps {
  readonly layout: Layout;
  readonly graph: Graph;
  readonly moment: ChartMoment;
  readonly deadlines: readonly RunningDeadline[];
  readonly at: number;
  readonly hands: Hands;
}

export function ChartStates({ layout, graph, moment, deadlines, at, hands }: ChartStatesProps) {
  return (
    <g>
      {layout.beginnings.map(({ to, dot, path }) => (
        <g key={to} className="beginning" aria-hidden="true">
          <path d={path} markerEnd="url(#arrow)" />
          <circle cx={dot.x + dot.width / 2} cy={dot.y + dot.height / 2} r={dot.width / 2} />
        </g>
      ))}
      {allStates(graph.states).map((state) => {
        const box = layout.states.get(state.definition.path);
        const deadline = deadlines.find((running) => running.state === state.definition.path);
        return (
          box && (
            <State
              key={state.definition.path}
              state={state}
              box={box}
              moment={moment}
              deadline={deadline}
              at={at}
              hands={hands}
            />
          )
        );
      })}
    </g>
  );
}

interface StateProps {
  readonly state: GraphState;
  readonly box: Box;
  readonly moment: ChartMoment;
  readonly deadline: RunningDeadline | undefined;
  readonly at: number;
  readonly hands: Hands;
}

function State({ state, box, moment, deadline, at, hands }: StateProps) {
  const { path, name, type } = state.definition;
  const isActive = moment.active.includes(path);
  const isInnermost = moment.active.at(-1) === path;
  const spent = moment.spent.get(path);
  const note = noteOf(state, spent);
  const said = isActive ? "active" : spent === undefined ? "not entered" : "left";
  return (
    <g
      role="button"
      className="state"
      data-item={path}
      data-active={isActive}
      data-innermost={isInnermost}
      data-visited={spent !== undefined}
      data-type={type}
      tabIndex={hands.current === path ? 0 : -1}
      aria-label={`${name} ${note}, ${said}, ${path}`}
      aria-describedby={TIP}
      onMouseEnter={() => hands.hovered(path)}
      onMouseLeave={() => hands.hovered(undefined)}
      onFocus={() => hands.focused(path)}
      onBlur={() => hands.focused(undefined)}
    >
      <rect className="state-box" x={box.x} y={box.y} width={box.width} height={box.height} rx={8} />
      {type === "final" && (
        <rect
          className="state-final"
          x={box.x + 3}
          y={box.y + 3}
          width={box.width - 6}
          height={box.height - 6}
          rx={6}
        />
      )}
      <text className="state-name" x={box.x + 12} y={box.y + 20}>
        {name}
      </text>{" "}
      <StateNote isOuter={state.states.length > 0} box={box} note={note} />
      {deadline !== undefined && <DeadlineBar box={box} deadline={deadline} at={at} />}
    </g>
  );
}

/** How long it was active; before that, what it will wait for. */
function noteOf({ states, definition }: GraphState, spent: number | undefined): string {
  if (spent !== undefined) return duration(spent);
  return states.length > 0 ? "" : (definition.effects[0] ?? "");
}

/** Below the name; beside it where states are inside. */
function StateNote({
  isOuter,
  box,
  note,
}: {
  readonly isOuter: boolean;
  readonly box: Box;
  readonly note: string;
}) {
  const [x, y] = isOuter ? [box.x + box.width - 12, box.y + 20] : [box.x + 12, box.y + 36];
  return (
    <text className="state-note" x={x} y={y} textAnchor={isOuter ? "end" : "start"}>
      {note}
    </text>
  );
}

/** How much of the deadline has passed. */
function DeadlineBar({
  box,
  deadline,
  at,
}: {
  readonly box: Box;
  readonly deadline: RunningDeadline;
  readonly at: number;
}) {
  const whole = deadline.endsAt - deadline.since;
  const share = whole <= 0 ? 1 : Math.min(1, Math.max(0, (at - deadline.since) / whole));
  const y = box.y + box.height - 5;
  return (
    <g className="state-deadline" data-late={share > 0.75}>
      <path d={`M${box.x + 8},${y}h${box.width - 16}`} />
      <path d={`M${box.x + 8},${y}h${(box.width - 16) * share}`} />
    </g>
  );
}
