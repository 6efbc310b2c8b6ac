/** Where starts spend their time: the median and the 99th percentile of each step. */
import type { StepFigures } from "../../src/contracts/inspection.ts";
import { counted, duration } from "../model/words.ts";
import { Card, Nothing } from "../parts/card.tsx";

const WHOLE = "start";

export function Steps({ steps }: { readonly steps: readonly StepFigures[] }) {
  const longest = Math.max(1, ...steps.filter(({ step }) => step !== WHOLE).map(({ p99 }) => p99));
  const whole = steps.find(({ step }) => step === WHOLE);
  const parts = steps.filter(({ step }) => step !== WHOLE).sort((a, b) => b.p99 - a.p99);
  return (
    <Card
      title="Where starts spend time"
      className="steps"
      aside={whole && <span className="card-note">{counted(whole.count, "start")}</span>}
    >
      {steps.length === 0 && <Nothing>No start is remembered yet.</Nothing>}
      {steps.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Step</th>
              <th scope="col" className="number">
                p50
              </th>
              <th scope="col" className="number">
                p99
              </th>
            </tr>
          </thead>
          <tbody>
            {whole && <StepRow step={whole} longest={whole.p99} name="Start to ready" />}
            {parts.map((step) => (
              <StepRow key={step.step} step={step} longest={longest} name={step.step} />
            ))}
          </tbody>
        </table>
      )}
    </Card>
  );
}

interface StepRowProps {
  readonly step: StepFigures;
  readonly longest: number;
  readonly name: string;
}

function StepRow({ step, longest, name }: StepRowProps) {
  const share = (ms: number): string => `${Math.max(1, Math.min(100, (ms / longest) * 100))}%`;
  return (
    <tr className={name === step.step ? "" : "steps-whole"}>
      <th scope="row">
        <span className="steps-name">{name}</span>
        <span className="spread" aria-hidden="true">
          <span className="spread-p99" style={{ width: share(step.p99) }} />
          <span className="spread-p50" style={{ width: share(step.p50) }} />
        </span>
      </th>
      <td className="number">{duration(step.p50)}</td>
      <td className="number">{duration(step.p99)}</td>
    </tr>
  );
}
