/**
 * The timeline as a waterfall: a row for each entry, from the call to the guest's step, over the time that it took.
 *
 * A chosen row shows its chain of causes and what has come of it. A list box in the words of ARIA: arrows choose.
 */
import { type KeyboardEvent, useId, useMemo, useRef } from "react";
import type { SandboxDetail } from "../../src/contracts/inspection.ts";
import { Causes } from "../model/causes.ts";
import type { TimeScale } from "../model/time-scale.ts";
import { rowsOf } from "../model/waterfall.ts";
import { counted } from "../model/words.ts";
import { Card, Nothing } from "../parts/card.tsx";
import { Chain } from "./chain.tsx";
import { EntryDetails } from "./entry-details.tsx";
import { TimelineRow } from "./timeline-row.tsx";

export interface TimelineProps {
  readonly detail: SandboxDetail;
  readonly scale: TimeScale;
  /** The instant that is shown. */
  readonly at: number;
  readonly now: number;
  readonly selected: number | undefined;
  readonly select: (id: number | undefined) => void;
  readonly show: (at: number) => void;
}

export function Timeline({ detail, scale, at, now, selected, select, show }: TimelineProps) {
  const { history } = detail;
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const rows = useMemo(() => rowsOf(history, now), [history, now]);
  const causes = useMemo(() => new Causes(history), [history]);
  const chain = useMemo(() => chainOf(causes, selected), [causes, selected]);
  const place = rows.findIndex(({ entry }) => entry.id === selected);
  const pressed = (event: KeyboardEvent): void => {
    if (event.key === "Escape" && selected !== undefined) {
      event.stopPropagation();
      event.preventDefault();
      return select(undefined);
    }
    if (event.key === "Enter" && rows[place] !== undefined) return show(rows[place].from);
    const next = nextPlace(event.key, place, rows.length);
    const row = next === undefined ? undefined : rows[next];
    if (row === undefined) return;
    event.preventDefault();
    select(row.entry.id);
    list.current?.children[next ?? 0]?.scrollIntoView({ block: "nearest" });
  };
  const chosen = selected === undefined ? undefined : causes.entry(selected);
  return (
    <Card
      title="Timeline"
      className="timeline"
      aside={<span className="card-note">{counted(history.length, "entry").replace("ys", "ies")}</span>}
    >
      {rows.length === 0 && <Nothing>Nothing has happened yet.</Nothing>}
      <div className="timeline-scroll">
        <div
          ref={list}
          className="timeline-rows"
          role="listbox"
          aria-label="Entries. Arrow keys choose one, Enter shows its moment."
          tabIndex={0}
          aria-activedescendant={place < 0 ? undefined : `${id}-${selected}`}
          onKeyDown={pressed}
          data-chosen={selected !== undefined}
        >
          {rows.map((row) => (
            <TimelineRow
              key={row.entry.id}
              id={`${id}-${row.entry.id}`}
              entry={row.entry}
              depth={row.depth}
              from={scale.place(row.from)}
              to={scale.place(row.to)}
              ms={row.to - row.from}
              isOpen={row.open}
              isFuture={row.from > at}
              isSelected={row.entry.id === selected}
              isInChain={chain.has(row.entry.id)}
              select={select}
            />
          ))}
        </div>
        <div className="timeline-over" aria-hidden="true">
          {scale.stretches
            .filter(({ idle }) => idle)
            .map(({ from, left, right }) => (
              <span
                key={from}
                className="timeline-idle"
                style={{ left: `${left * 100}%`, width: `${(right - left) * 100}%` }}
              />
            ))}
          {selected !== undefined && <Chain rows={rows} path={causes.pathTo(selected)} scale={scale} />}
          <span className="timeline-cursor" style={{ left: `${scale.place(at) * 100}%` }} />
        </div>
      </div>
      {chosen !== undefined && (
        <EntryDetails entry={chosen} causes={causes} now={now} select={select} show={show} />
      )}
    </Card>
  );
}

function chainOf(causes: Causes, selected: number | undefined): ReadonlySet<number> {
  if (selected === undefined) return new Set();
  return new Set([...causes.pathTo(selected).map(({ id }) => id), ...causes.consequences(selected)]);
}

function nextPlace(key: string, place: number, count: number): number | undefined {
  const places: Readonly<Record<string, number>> = {
    ArrowDown: Math.min(count - 1, place + 1),
    ArrowUp: Math.max(0, place - 1),
    PageDown: Math.min(count - 1, place + 10),
    PageUp: Math.max(0, place - 10),
    Home: 0,
    End: count - 1,
  };
  return places[key];
}
