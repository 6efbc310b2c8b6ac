/** The aligned steps of two sandboxes, and how they differ. */
import type { AlignedStep, Mark, Step } from "../model/alignment.ts";
import { difference, duration } from "../model/words.ts";
import { Nothing } from "../parts/card.tsx";
import { Guest } from "../parts/text.tsx";

const WORDS: Readonly<Record<Mark, string>> = {
  alike: "alike",
  slower: "B slower",
  faster: "B faster",
  onlyFirst: "only A",
  onlySecond: "only B",
};

export function ComparedSteps({ steps }: { readonly steps: readonly AlignedStep[] }) {
  if (steps.length === 0) return <Nothing>There are none.</Nothing>;
  const longest = Math.max(
    1,
    ...steps.map(({ first, second, kind, name }) =>
      rests(kind, name) ? 0 : Math.max(first?.ms ?? 0, second?.ms ?? 0),
    ),
  );
  return (
    <div className="compared-scroll" role="region" aria-label="Steps of both" tabIndex={0}>
      <table className="compared">
        <thead>
          <tr>
            <th scope="col">Step</th>
            <th scope="col">A and B</th>
            <th scope="col" className="number">
              A
            </th>
            <th scope="col" className="number">
              B
            </th>
            <th scope="col">Difference</th>
          </tr>
        </thead>
        <tbody>
          {steps.map((step) => (
            <ComparedRow
              key={`${step.key} ${step.first?.entryId} ${step.second?.entryId}`}
              step={step}
              longest={longest}
            />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function ComparedRow({ step, longest }: { readonly step: AlignedStep; readonly longest: number }) {
  const { chart, kind, name, first, second, mark, ms } = step;
  const isRest = rests(kind, name);
  return (
    <tr data-mark={isRest ? "alike" : mark} data-kind={kind}>
      <th scope="row">
        <span className="row-mark" aria-hidden="true" />
        <Guest text={name} most={80} />
        <span className="faint"> {chart}</span>
      </th>
      <td className="compared-bars" aria-hidden="true">
        <Bar side="A" step={first} longest={longest} />
        <Bar side="B" step={second} longest={longest} />
      </td>
      <td className="number">{timeOf(first)}</td>
      <td className="number">{timeOf(second)}</td>
      <td className="compared-mark">
        {!isRest && mark !== "alike" && (
          <span className="mark" data-mark={mark}>
            {WORDS[mark]} <b>{difference(ms)}</b>
          </span>
        )}
      </td>
    </tr>
  );
}

function Bar({
  side,
  step,
  longest,
}: {
  readonly side: string;
  readonly step: Step | undefined;
  readonly longest: number;
}) {
  const width = step === undefined ? 0 : Math.min(100, Math.max(0.5, (step.ms / longest) * 100));
  return (
    <span
      className="compared-bar"
      data-side={side}
      data-failed={step?.error !== undefined}
      style={{ width: `${width}%` }}
    />
  );
}

function timeOf(step: Step | undefined) {
  return step === undefined ? <span className="faint">–</span> : duration(step.ms);
}

/** How long a pod ran is no step on its way. */
function rests(kind: string, name: string): boolean {
  return kind === "state" && /^(ready|created|stopped|running|present|exited)\b/.test(name);
}
