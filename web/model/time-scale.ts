/**
 * A time scale on which idle stretches are short: a pod lives for days, and what matters of it takes seconds. Pure.
 *
 * Time is cut at every instant at which something began or ended. A stretch in which nothing was done, or that is far longer
 * than all others together, is drawn with a fixed width and counts as `idle`; all others keep their proportions.
 */
import type { HistoryEntry } from "../../src/contracts/inspection.ts";

export interface Stretch {
  readonly from: number;
  readonly to: number;
  /** Places from 0 to 1. */
  readonly left: number;
  readonly right: number;
  readonly idle: boolean;
}

/** An idle stretch is at least so long … */
const SHORTEST_IDLE = 1_000;
/** … and at least this share of the time that is busy. */
const IDLE_SHARE = 0.15;
/** A busy stretch that is so many times longer than all others together is drawn short as well. */
const OVERWHELMING = 12;
/** Width of an idle stretch, and of all together at most. */
const IDLE_WIDTH = 0.05;
const IDLE_WIDTHS = 0.3;

export class TimeScale {
  private constructor(readonly stretches: readonly Stretch[]) {}

  /** @param to the end: of the sandbox, or now */
  static of(history: readonly HistoryEntry[], from: number, to: number): TimeScale {
    const end = Math.max(to, from + 1);
    const cuts = cutsOf(history, from, end);
    const pieces = cuts.slice(1).map((cut, index) => ({ from: cuts[index] ?? from, to: cut }));
    const worked = pieces.filter((piece) => busy(history, piece, end));
    const busyMs = worked.reduce((sum, piece) => sum + piece.to - piece.from, 0);
    const isIdle = (piece: Piece): boolean => {
      const ms = piece.to - piece.from;
      if (ms < SHORTEST_IDLE) return false;
      if (!worked.includes(piece)) return ms > busyMs * IDLE_SHARE;
      return ms > OVERWHELMING * Math.max(busyMs - ms, SHORTEST_IDLE / 10);
    };
    return new TimeScale(placed(pieces.map((piece) => ({ ...piece, idle: isIdle(piece) }))));
  }

  get from(): number {
    return this.stretches[0]?.from ?? 0;
  }

  get to(): number {
    return this.stretches.at(-1)?.to ?? 0;
  }

  /** The place of an instant, from 0 to 1. */
  place(at: number): number {
    const stretch = this.stretches.find(({ to }) => at <= to) ?? this.stretches.at(-1);
    if (stretch === undefined) return 0;
    const share = (at - stretch.from) / (stretch.to - stretch.from);
    return stretch.left + Math.min(1, Math.max(0, share)) * (stretch.right - stretch.left);
  }

  /** The instant at a place. */
  instant(place: number): number {
    const stretch = this.stretches.find(({ right }) => place <= right) ?? this.stretches.at(-1);
    if (stretch === undefined) return 0;
    const width = stretch.right - stretch.left;
    const share = width === 0 ? 1 : (place - stretch.left) / width;
    return stretch.from + Math.min(1, Math.max(0, share)) * (stretch.to - stretch.from);
  }
}

interface Piece {
  readonly from: number;
  readonly to: number;
}

function cutsOf(history: readonly HistoryEntry[], from: number, to: number): number[] {
  const cuts = new Set([from, to]);
  for (const { at, ms } of history) {
    cuts.add(at);
    if (ms !== undefined) cuts.add(at + ms);
  }
  return [...cuts].filter((cut) => cut >= from && cut <= to).sort((a, b) => a - b);
}

function busy(history: readonly HistoryEntry[], piece: Piece, now: number): boolean {
  return history.some(
    ({ kind, at, ms }) =>
      (kind === "effect" || kind === "step") &&
      at <= piece.from &&
      (ms === undefined ? now : at + ms) >= piece.to,
  );
}

function placed(pieces: readonly (Piece & { readonly idle: boolean })[]): Stretch[] {
  const joined: (Piece & { readonly idle: boolean })[] = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    if (last?.idle === piece.idle) joined[joined.length - 1] = { ...last, to: piece.to };
    else joined.push(piece);
  }
  const idleCount = joined.filter(({ idle }) => idle).length;
  const busyMs = joined.reduce((sum, { from, to, idle }) => sum + (idle ? 0 : to - from), 0);
  const forIdle = busyMs === 0 ? 1 : Math.min(IDLE_WIDTHS, idleCount * IDLE_WIDTH);
  let left = 0;
  return joined.map((piece) => {
    const width = piece.idle ? forIdle / idleCount : ((piece.to - piece.from) / busyMs) * (1 - forIdle);
    const stretch = { ...piece, left, right: left + width };
    left += width;
    return stretch;
  });
}
