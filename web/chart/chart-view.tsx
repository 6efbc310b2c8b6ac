/**
 * A chart, drawn from the machine's own definition: active states are lit, and what was taken last is shown as it goes.
 *
 * One item is in the tab order; arrows go through states and what leads out of each. What has the pointer or the focus is
 * explained beside it. The active states stay in sight.
 */
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import { edgeTaken, type Graph, graphOf, isIn } from "../../src/charts/graph.ts";
import type { Item, Layout } from "../../src/charts/layout.ts";
import { allStates } from "../../src/charts/states.ts";
import type { ChartDefinition, RunningDeadline } from "../../src/contracts/inspection.ts";
import type { ChartMoment } from "../model/moments.ts";
import { Nothing } from "../parts/card.tsx";
import { ChartEdges } from "./chart-edges.tsx";
import { ChartStates } from "./chart-states.tsx";
import { ChartTip } from "./chart-tip.tsx";
import { useLayout } from "./use-layout.ts";
import { useZoom, ZoomButtons } from "./zoom.tsx";

export interface ChartViewProps {
  readonly definition: ChartDefinition;
  readonly moment: ChartMoment;
  /** Those that run now. */
  readonly deadlines: readonly RunningDeadline[];
  /** The instant that is shown. */
  readonly at: number;
}

export function ChartView(props: ChartViewProps) {
  const { layout, error } = useLayout(props.definition);
  if (error !== undefined) return <Nothing>The chart cannot be laid out: {error}</Nothing>;
  if (layout === undefined) return <Nothing>Laying out…</Nothing>;
  return <Drawing {...props} layout={layout} />;
}

function Drawing({
  definition,
  moment,
  deadlines,
  at,
  layout,
}: ChartViewProps & { readonly layout: Layout }) {
  const graph = useMemo(() => graphOf(definition), [definition]);
  const items = useMemo(() => itemsOf(graph, layout), [graph, layout]);
  const scroller = useRef<HTMLDivElement>(null);
  const { zoom, zoomBy, fit } = useZoom(scroller, layout.width);
  const [hovered, setHovered] = useState<string>();
  const [focused, setFocused] = useState<string>();
  const [current, setCurrent] = useState<string>();
  const [scrolled, setScrolled] = useState(0);
  const taken = moment.by === undefined ? undefined : edgeTaken(graph.edges, moment.by);
  useInSight(scroller, layout, moment.active.at(-1), zoom);
  const place = Math.max(
    0,
    items.findIndex(({ id }) => id === (current ?? moment.active.at(-1))),
  );
  const pressed = (event: KeyboardEvent): void => {
    if (event.key === "Escape" && (focused ?? hovered) !== undefined) {
      event.stopPropagation();
      event.preventDefault();
      setFocused(undefined);
      setHovered(undefined);
      return;
    }
    const next = items[nextPlace(event.key, place, items.length) ?? -1];
    if (next === undefined) return;
    event.preventDefault();
    setCurrent(next.id);
    scroller.current?.querySelector<SVGGElement>(`[data-item="${CSS.escape(next.id)}"]`)?.focus();
  };
  const shown = items.find(({ id }) => id === (focused ?? hovered));
  const hands = { current: items[place]?.id, hovered: setHovered, focused: setFocused };
  return (
    <div className="chart">
      <div className="chart-scroll" ref={scroller} onScroll={() => setScrolled((before) => before + 1)}>
        <svg
          className="chart-drawing"
          role="group"
          aria-label={`State chart: ${definition.title}. Arrow keys go through its states.`}
          width={layout.width * zoom}
          height={layout.height * zoom}
          viewBox={`0 0 ${layout.width} ${layout.height}`}
          onKeyDown={pressed}
        >
          <ChartStates
            layout={layout}
            graph={graph}
            moment={moment}
            deadlines={deadlines}
            at={at}
            hands={hands}
          />
          <ChartEdges layout={layout} taken={taken?.id} by={moment.by} hands={hands} />
        </svg>
      </div>
      <ZoomButtons zoomBy={zoomBy} fit={fit} />
      {shown !== undefined && (
        <ChartTip
          item={shown}
          graph={graph}
          chart={definition}
          moment={moment}
          deadlines={deadlines}
          at={at}
          zoom={zoom}
          scroller={scroller}
          scrolled={scrolled}
        />
      )}
    </div>
  );
}

/** States, each followed by what leads out of it. */
function itemsOf({ states, edges }: Graph, layout: Layout): Item[] {
  return allStates(states).flatMap(({ definition: { path } }) => {
    const box = layout.states.get(path);
    const leading = edges.filter(({ from }) => from === path);
    const labels = leading.flatMap(({ id }) => {
      const placed = layout.edges.find(({ edge }) => edge.id === id);
      return placed === undefined ? [] : [{ id, box: placed.label }];
    });
    return box === undefined ? labels : [{ id: path, box }, ...labels];
  });
}

function nextPlace(key: string, place: number, count: number): number | undefined {
  if (key === "ArrowRight" || key === "ArrowDown") return (place + 1) % count;
  if (key === "ArrowLeft" || key === "ArrowUp") return (place + count - 1) % count;
  if (key === "Home") return 0;
  return key === "End" ? count - 1 : undefined;
}

const MARGIN = 24;

/** Scrolls the innermost active state into sight when another one becomes active. */
function useInSight(
  scroller: { readonly current: HTMLDivElement | null },
  layout: Layout,
  path: string | undefined,
  zoom: number,
): void {
  useEffect(() => {
    const element = scroller.current;
    const box =
      path === undefined ? undefined : layout.states.get(outermostThatFits(layout, path, element, zoom));
    if (element === null || box === undefined) return;
    const seen = (from: number, size: number, start: number, room: number): boolean =>
      from >= start + MARGIN && from + size <= start + room - MARGIN;
    const [x, y, width, height] = [box.x * zoom, box.y * zoom, box.width * zoom, box.height * zoom];
    const isSeen =
      seen(x, width, element.scrollLeft, element.clientWidth) &&
      seen(y, height, element.scrollTop, element.clientHeight);
    if (isSeen) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    element.scrollTo({
      left: x + width / 2 - element.clientWidth / 2,
      top: y + height / 2 - element.clientHeight / 2,
      behavior: calm ? "instant" : "smooth",
    });
  }, [scroller, layout, path, zoom]);
}

/** An outer state is better to see than an inner one alone. */
function outermostThatFits(layout: Layout, path: string, element: HTMLElement | null, zoom: number): string {
  const fits = [...layout.states].filter(
    ([outer, box]) => isIn(path, outer) && box.height * zoom < (element?.clientHeight ?? 0) - 2 * MARGIN,
  );
  return fits.sort((a, b) => a[0].length - b[0].length)[0]?.[0] ?? path;
}
