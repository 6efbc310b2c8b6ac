/** How large a chart is drawn: as wide as there is room, but never too small to read. */
import { type RefObject, useEffect, useState } from "react";
import { Icon } from "../parts/icons.tsx";

const LEAST_READABLE = 0.82;
const LARGEST_FIT = 1.1;
const LEAST = 0.3;
const LARGEST = 2.5;
const STEP = 1.25;

export function useZoom(scroller: RefObject<HTMLDivElement | null>, width: number) {
  const [chosen, setChosen] = useState<number>();
  const [room, setRoom] = useState(0);
  useEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => setRoom(element.clientWidth));
    observer.observe(element);
    setRoom(element.clientWidth);
    return () => observer.disconnect();
  }, [scroller]);
  const fitting = room === 0 ? 1 : room / width;
  const readable = Math.min(LARGEST_FIT, Math.max(LEAST_READABLE, fitting));
  const zoom = chosen ?? readable;
  const bounded = (value: number): number => Math.min(LARGEST, Math.max(LEAST, value));
  return {
    zoom,
    zoomBy: (factor: number) => setChosen(bounded(zoom * factor)),
    fit: () => setChosen(chosen === undefined ? bounded(fitting) : undefined),
  };
}

export interface ZoomButtonsProps {
  readonly zoomBy: (factor: number) => void;
  readonly fit: () => void;
}

export function ZoomButtons({ zoomBy, fit }: ZoomButtonsProps) {
  return (
    <fieldset className="zoom">
      <legend className="unseen">Size of the chart</legend>
      <button type="button" className="button quiet" aria-label="Smaller" onClick={() => zoomBy(1 / STEP)}>
        <Icon name="minus" />
      </button>
      <button type="button" className="button quiet" onClick={fit}>
        Fit
      </button>
      <button type="button" className="button quiet" aria-label="Larger" onClick={() => zoomBy(STEP)}>
        <Icon name="plus" />
      </button>
    </fieldset>
  );
}
