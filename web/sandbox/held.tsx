/** What a sandbox waits for, what it holds on the host, and what its chart knows. */
import type { HistoryEntry, SandboxDetail } from "../../src/contracts/inspection.ts";
import type { ChartMoment } from "../model/moments.ts";
import { duration } from "../model/words.ts";
import { Card, Nothing } from "../parts/card.tsx";
import { Guest } from "../parts/text.tsx";

export interface DeadlinesProps {
  readonly detail: SandboxDetail;
  readonly at: number;
  readonly isPast: boolean;
  readonly goingOn: readonly HistoryEntry[];
}

/** Deadlines with the time that is left; in the past, what went on. */
export function Deadlines({ detail, at, isPast, goingOn }: DeadlinesProps) {
  const deadlines = isPast ? [] : detail.deadlines;
  const isNothing = deadlines.length === 0 && goingOn.length === 0;
  const aside = isNothing ? <span className="card-note">nothing</span> : undefined;
  return (
    <Card title={isPast ? "Under way at that moment" : "Waits for"} className="waits" aside={aside}>
      <ul hidden={isNothing}>
        {deadlines.map((deadline) => {
          const whole = deadline.endsAt - deadline.since;
          const left = Math.max(0, deadline.endsAt - at);
          const share = whole <= 0 ? 1 : 1 - left / whole;
          return (
            <li key={`${deadline.chart} ${deadline.name}`}>
              <div className="waits-line">
                <code>{deadline.name}</code>
                <span>
                  <b>{duration(left)}</b> left of {duration(whole)}
                </span>
              </div>
              <div className="meter" data-late={share > 0.75} aria-hidden="true">
                <span style={{ width: `${Math.min(100, share * 100)}%` }} />
              </div>
              <p className="faint">
                <Guest text={deadline.wait} /> <code>{deadline.state}</code>
              </p>
            </li>
          );
        })}
        {goingOn.map((entry) => (
          <li key={entry.id} className="waits-going">
            <span className="kind" data-kind={entry.kind}>
              {entry.kind}
            </span>
            <Guest text={entry.name} most={100} />
            <span className="faint">{duration(Math.max(0, at - entry.at))}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

export function Resources({ detail, isPast }: { readonly detail: SandboxDetail; readonly isPast: boolean }) {
  const note = isPast ? <span className="card-note">now</span> : undefined;
  return (
    <Card title="Held on the host" className="resources" aside={note}>
      {detail.resources.length === 0 && <Nothing>Nothing is held.</Nothing>}
      <ul>
        {detail.resources.map((resource) => (
          <li key={`${resource.kind} ${resource.description}`}>
            <span className="kind">
              <Guest text={resource.kind} most={30} />
            </span>
            <Guest text={resource.description} most={240} />
          </li>
        ))}
      </ul>
    </Card>
  );
}

export interface FactsProps {
  readonly detail: SandboxDetail;
  readonly moment: ChartMoment;
  readonly isPast: boolean;
}

export function Facts({ detail, moment, isPast }: FactsProps) {
  const chart = detail.charts.find(({ key }) => key === moment.key);
  const info = Object.entries(detail.info);
  const note = isPast ? <span className="card-note">now</span> : undefined;
  return (
    <Card title="Facts" className="more" aside={note}>
      {info.length > 0 && (
        <dl className="info">
          {info.map(([name, value]) => (
            <div key={name}>
              <dt>
                <Guest text={name} most={40} />
              </dt>
              <dd>
                <Guest text={value} most={400} />
              </dd>
            </div>
          ))}
        </dl>
      )}
      {chart === undefined ? (
        <Nothing>This chart is gone; what it knew was not kept.</Nothing>
      ) : (
        <details>
          <summary>
            What the chart <code>{chart.key}</code> knows
          </summary>
          <pre className="context">{contextOf(chart.context)}</pre>
        </details>
      )}
    </Card>
  );
}

const MOST_CONTEXT = 20_000;

/** Strings inside of JSON have no controls; what else cannot be seen is escaped here. */
function contextOf(context: string): string {
  try {
    const text = JSON.stringify(JSON.parse(context), undefined, 2);
    return text.slice(0, MOST_CONTEXT).replace(/[\p{Cf}\p{Co}\p{Cn}\u0080-\u009f]/gu, escaped);
  } catch {
    return "it cannot be read";
  }
}

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16)}}`;
}
