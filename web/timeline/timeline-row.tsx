/** One entry of the timeline: what it is, and a bar over the time that it took. */
import { memo } from "react";
import { takesTime } from "../../src/charts/entries.ts";
import type { HistoryEntry } from "../../src/contracts/inspection.ts";
import { harmless } from "../model/harmless.ts";
import { duration } from "../model/words.ts";

const NAME = 120;
const ERROR = 200;

export interface TimelineRowProps {
  readonly id: string;
  readonly entry: HistoryEntry;
  readonly depth: number;
  /** Places from 0 to 1. */
  readonly from: number;
  readonly to: number;
  readonly ms: number;
  readonly isOpen: boolean;
  readonly isFuture: boolean;
  readonly isSelected: boolean;
  readonly isInChain: boolean;
  readonly select: (id: number | undefined) => void;
}

export const TimelineRow = memo(function TimelineRow(props: TimelineRowProps) {
  const { entry, depth, from, to, ms, isOpen, isFuture, isSelected, isInChain, select } = props;
  const time = takesTime(entry) ? duration(ms) : "";
  return (
    <div
      id={props.id}
      role="option"
      aria-selected={isSelected}
      className="row"
      data-kind={entry.kind}
      data-failed={entry.error !== undefined}
      data-future={isFuture}
      data-chain={isInChain}
      onClick={() => select(isSelected ? undefined : entry.id)}
    >
      <span className="row-name" data-depth={depth}>
        <span className="row-mark" aria-hidden="true" />
        <span className="unseen">{aboutOf(entry)}: </span>
        <bdi>{harmless(nameOf(entry), NAME)}</bdi>
        {entry.kind === "transition" && entry.name !== "" && (
          <span className="row-by">{harmless(entry.name, NAME)}</span>
        )}
      </span>
      <span className="row-bar" aria-hidden="true">
        <span
          className={takesTime(entry) ? "bar" : "point"}
          data-open={isOpen}
          style={{
            left: `${from * 100}%`,
            width: takesTime(entry) ? `${Math.max(0, to - from) * 100}%` : undefined,
          }}
        />
      </span>
      <span className="row-time">
        {time}
        {isOpen && "…"}
        {entry.error !== undefined && <span className="unseen"> failed: {harmless(entry.error, ERROR)}</span>}
      </span>
    </div>
  );
});

/** A transition is known by where it leads. */
export function nameOf({ kind, name, to = "" }: HistoryEntry): string {
  return kind === "transition" ? to : name;
}

/** `effect of boot`, for those who do not see the mark. */
function aboutOf({ kind, chart }: HistoryEntry): string {
  return harmless(chart === undefined ? kind : `${kind} of ${chart}`, NAME);
}
