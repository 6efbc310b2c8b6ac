/** The chosen entry in words, with its chain of causes. */

import { takesTime } from "../../src/charts/entries.ts";
import type { HistoryEntry } from "../../src/contracts/inspection.ts";
import type { Causes } from "../model/causes.ts";
import { harmless } from "../model/harmless.ts";
import { clock, counted, duration } from "../model/words.ts";
import { Guest } from "../parts/text.tsx";
import { nameOf } from "./timeline-row.tsx";

export interface EntryDetailsProps {
  readonly entry: HistoryEntry;
  readonly causes: Causes;
  readonly now: number;
  readonly select: (id: number) => void;
  readonly show: (at: number) => void;
}

export function EntryDetails({ entry, causes, now, select, show }: EntryDetailsProps) {
  const path = causes.pathTo(entry.id);
  const count = causes.consequences(entry.id).size;
  const time = !takesTime(entry)
    ? ""
    : entry.ms === undefined
      ? `goes on for ${duration(now - entry.at)}`
      : `took ${duration(entry.ms)}`;
  return (
    <div className="entry">
      <p className="entry-head">
        <span className="kind" data-kind={entry.kind}>
          {entry.kind}
        </span>
        <b>
          <Guest text={nameOf(entry)} most={300} />
        </b>
        <button type="button" className="button" onClick={() => show(entry.at)}>
          Show this moment
        </button>
      </p>
      <p className="faint">
        {clock(entry.at)}
        {time !== "" && ` · ${time}`}
        {entry.chart !== undefined && (
          <>
            {" "}
            · <Guest text={entry.chart} most={80} />
          </>
        )}
        {entry.kind === "transition" && (
          <>
            {" "}
            · from <code>{entry.from === "" ? "nothing" : harmless(entry.from ?? "", 80)}</code> by{" "}
            <code>{harmless(entry.name === "" ? "always" : entry.name, 80)}</code>
          </>
        )}
        {count > 0 && ` · led to ${counted(count, "entry").replace("ys", "ies")}`}
      </p>
      {entry.error !== undefined && (
        <p className="entry-error">
          <Guest text={entry.error} most={1_000} />
        </p>
      )}
      {path.length > 1 && (
        <ol className="entry-chain" aria-label="Chain of causes">
          {path.map((each) => (
            <li key={each.id}>
              <button
                type="button"
                aria-current={each.id === entry.id}
                data-kind={each.kind}
                onClick={() => select(each.id)}
              >
                {harmless(nameOf(each), 40)}
              </button>
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}
