/** Which instant is shown: now, or one of the past; and the past as a film. */
import { useEffect, useState } from "react";
import type { TimeScale } from "../model/time-scale.ts";

/** A whole life takes so long. */
const FILM_MS = 15_000;
const FRAME_MS = 50;

export interface Player {
  /** Undefined: now, or the end. */
  readonly at: number | undefined;
  readonly isPlaying: boolean;
  readonly show: (at: number | undefined) => void;
  /** One moment on, or back. */
  readonly step: (direction: 1 | -1) => void;
  readonly toggle: () => void;
}

export function usePlayer(scale: TimeScale, moments: readonly number[]): Player {
  const [at, setAt] = useState<number>();
  const [isPlaying, setPlaying] = useState(false);
  const show = (next: number | undefined): void => {
    setPlaying(false);
    setAt(next);
  };
  useEffect(() => {
    if (!isPlaying) return;
    const timer = setTimeout(() => {
      const next = scale.place(at ?? scale.from) + FRAME_MS / FILM_MS;
      if (next >= 1) setPlaying(false);
      setAt(next >= 1 ? undefined : scale.instant(next));
    }, FRAME_MS);
    return () => clearTimeout(timer);
  }, [isPlaying, at, scale]);
  return {
    at,
    isPlaying,
    show,
    step: (direction) => show(neighbour(moments, at, direction)),
    toggle: () => {
      if (!isPlaying && at === undefined) setAt(scale.from);
      setPlaying(!isPlaying);
    },
  };
}

/** After the last moment comes now. */
function neighbour(
  moments: readonly number[],
  at: number | undefined,
  direction: 1 | -1,
): number | undefined {
  if (direction === 1) return at === undefined ? undefined : moments.find((moment) => moment > at);
  const before = at === undefined ? moments : moments.filter((moment) => moment < at);
  return before.at(-1) ?? moments[0];
}
