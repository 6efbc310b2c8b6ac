/** What a state or a transition is: shown beside it while it has the pointer or the focus. */
import { type RefObject, useLayoutEffect, useRef, useState } from "react";
import type { Graph, GraphState } from "../../src/charts/graph.ts";
import type { Item } from "../../src/charts/layout.ts";
import { allStates } from "../../src/charts/states.ts";
import type { ChartDefinition, ChartTransition, RunningDeadline } from "../../src/contracts/inspection.ts";
import type { ChartMoment } from "../model/moments.ts";
import { duration } from "../model/words.ts";
import { Guest } from "../parts/text.tsx";
import { TIP } from "./chart-states.tsx";

export interface ChartTipProps {
  readonly item: Item;
  readonly graph: Graph;
  readonly chart: ChartDefinition;
  readonly moment: ChartMoment;
  readonly deadlines: readonly RunningDeadline[];
  readonly at: number;
  readonly zoom: number;
  readonly scroller: RefObject<HTMLDivElement | null>;
  /** Changes when the chart is scrolled. */
  readonly scrolled: number;
}

const GAP = 10;

export function ChartTip(props: ChartTipProps) {
  const { item, graph, moment, deadlines, at } = props;
  const { tip, place } = usePlace(props);
  const state = allStates(graph.states).find(({ definition }) => definition.path === item.id);
  const edge = graph.edges.find(({ id }) => id === item.id);
  return (
    <div ref={tip} className="tip" role="tooltip" id={TIP} style={place}>
      {state !== undefined && <StateTip state={state} moment={moment} deadlines={deadlines} at={at} />}
      {edge !== undefined && (
        <>
          <p className="tip-title">
            {edge.from} → {edge.to}
          </p>
          <Transitions transitions={edge.transitions} />
        </>
      )}
    </div>
  );
}

interface StateTipProps extends Pick<ChartTipProps, "moment" | "deadlines" | "at"> {
  readonly state: GraphState;
}

function StateTip({ state: { definition }, moment, deadlines, at }: StateTipProps) {
  const { path, description, effects, transitions } = definition;
  const running = deadlines.filter((deadline) => deadline.state === path);
  const others = definition.deadlines.filter((name) => !running.some((deadline) => deadline.name === name));
  const spent = moment.spent.get(path);
  return (
    <>
      <p className="tip-title">
        {path}
        {spent !== undefined && <span> {duration(spent)}</span>}
      </p>
      {description !== "" && <p>{description}</p>}
      {effects.length > 0 && (
        <p>
          Waits for <code>{effects.join(", ")}</code>
        </p>
      )}
      {running.map((deadline) => (
        <p key={deadline.name} className="tip-deadline">
          Deadline <code>{deadline.name}</code>: {duration(Math.max(0, deadline.endsAt - at))} left of{" "}
          {duration(deadline.endsAt - deadline.since)}
          <br />
          <Guest text={deadline.wait} />
        </p>
      ))}
      {others.length > 0 && (
        <p>
          Deadline <code>{others.join(", ")}</code>
        </p>
      )}
      <Transitions transitions={transitions} />
    </>
  );
}

function Transitions({ transitions }: { readonly transitions: readonly ChartTransition[] }) {
  if (transitions.length === 0) return null;
  return (
    <ul className="tip-transitions">
      {transitions.map((transition, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: transitions have no other name, and stay where they are
        <li key={index}>
          <code>{transition.on === "" ? "always" : transition.on}</code>
          {transition.guard !== undefined && transition.guard !== "" && (
            <>
              {" "}
              if <code>{transition.guard}</code>
            </>
          )}
          {transition.targets.length > 0 ? <> → {transition.targets.join(", ")}</> : " only acts"}
          {transition.actions.length > 0 && <span className="faint"> · {transition.actions.join(", ")}</span>}
        </li>
      ))}
    </ul>
  );
}

/** Beside the item, inside of the chart's frame. Before it is measured, it is not seen. */
function usePlace({ item, zoom, scroller, scrolled }: ChartTipProps) {
  const tip = useRef<HTMLDivElement>(null);
  const [place, setPlace] = useState<{ left: number; top: number } | undefined>();
  // biome-ignore lint/correctness/useExhaustiveDependencies: scrolling moves the item
  useLayoutEffect(() => {
    const [element, frame] = [tip.current, scroller.current];
    if (element === null || frame === null) return;
    const left = item.box.x * zoom - frame.scrollLeft;
    const right = (item.box.x + item.box.width) * zoom - frame.scrollLeft;
    const top = item.box.y * zoom - frame.scrollTop;
    const bottom = (item.box.y + item.box.height) * zoom - frame.scrollTop;
    const { offsetWidth: width, offsetHeight: height } = element;
    const { top: frameTop, height: frameHeight } = frame.getBoundingClientRect();
    // the frame may reach out of the window
    const room = Math.max(height + 8, Math.min(frameHeight, innerHeight - frameTop));
    const bounded = (value: number, most: number): number => Math.max(4, Math.min(most - 4, value));
    const isRight = right + GAP + width <= frame.clientWidth;
    const isLeft = !isRight && left - GAP - width >= 0;
    const isBelow = bottom + GAP + height <= room;
    const x = isRight ? right + GAP : isLeft ? left - GAP - width : left;
    const y = isRight || isLeft ? top : isBelow ? bottom + GAP : top - GAP - height;
    setPlace({ left: bounded(x, frame.clientWidth - width), top: bounded(y, room - height) });
  }, [item, zoom, scroller, scrolled]);
  return { tip, place: place ?? { visibility: "hidden" as const } };
}
