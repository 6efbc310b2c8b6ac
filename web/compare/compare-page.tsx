/** Two sandboxes side by side: why was this one slow? */
import { useMemo, useState } from "react";
import type { SandboxDetail } from "../../src/contracts/inspection.ts";
import { useNow } from "../data/clock.ts";
import { addressOf, go } from "../data/route.ts";
import { useSandbox } from "../data/sandbox.ts";
import { align, mainDifferences, stepsOf } from "../model/alignment.ts";
import { difference, duration } from "../model/words.ts";
import { PhaseBadge } from "../parts/badges.tsx";
import { Card, Nothing } from "../parts/card.tsx";
import { Icon } from "../parts/icons.tsx";
import { Guest } from "../parts/text.tsx";
import { ComparedSteps } from "./compared-steps.tsx";

export interface ComparePageProps {
  readonly first: string;
  readonly second: string;
}

export function ComparePage({ first, second }: ComparePageProps) {
  const a = useSandbox(first);
  const b = useSandbox(second);
  const error = a.error ?? b.error;
  if (a.detail !== undefined && b.detail !== undefined)
    return <Compared first={a.detail} second={b.detail} ids={{ first, second }} />;
  if (error === undefined) return <Nothing>Asking…</Nothing>;
  return (
    <div className="notice" role="alert">
      <h1>They cannot be compared</h1>
      <p>{error}</p>
    </div>
  );
}

interface ComparedProps {
  readonly first: SandboxDetail;
  readonly second: SandboxDetail;
  readonly ids: ComparePageProps;
}

function Compared({ first, second, ids }: ComparedProps) {
  const now = useNow(1_000);
  const [onlyDifferent, setOnlyDifferent] = useState(false);
  const aligned = useMemo(() => align(stepsOf(first, now), stepsOf(second, now)), [first, second, now]);
  const shown = onlyDifferent ? aligned.filter(({ mark }) => mark !== "alike") : aligned;
  const different = aligned.filter(({ mark }) => mark !== "alike").length;
  return (
    <div className="compare">
      <header className="head">
        <div className="head-line">
          <a className="button quiet" href={addressOf({ page: "fleet" })} aria-label="Back to all sandboxes">
            <Icon name="back" />
          </a>
          <h1>Side by side</h1>
          <span className="top-space" />
          <button
            type="button"
            className="button"
            onClick={() => go({ page: "compare", first: ids.second, second: ids.first })}
          >
            Swap
          </button>
        </div>
        <div className="sides">
          <Side letter="A" detail={first} id={ids.first} />
          <Side letter="B" detail={second} id={ids.second} />
        </div>
        <Verdict first={first} second={second} differences={mainDifferences(aligned)} />
      </header>
      <Card
        title="Steps"
        aside={
          <label className="check">
            <input
              type="checkbox"
              checked={onlyDifferent}
              onChange={(event) => setOnlyDifferent(event.target.checked)}
            />
            Only the {different} that differ
          </label>
        }
      >
        <ComparedSteps steps={shown} />
      </Card>
    </div>
  );
}

function Side({
  letter,
  detail: { summary },
  id,
}: {
  readonly letter: string;
  readonly detail: SandboxDetail;
  readonly id: string;
}) {
  const { pod, phase, path, startMs } = summary;
  return (
    <section className="side" data-side={letter} aria-label={`Sandbox ${letter}`}>
      <span className="side-letter">{letter}</span>
      <span className="side-name">
        <a href={addressOf({ page: "sandbox", id })}>
          <Guest text={`${pod.namespace}/${pod.name}`} most={80} />
        </a>
        <span className="faint">
          {path === "" ? "no VM" : `VM from ${path}`} · start{" "}
          {startMs === undefined ? "not done" : duration(startMs)}
        </span>
      </span>
      <PhaseBadge phase={phase} />
    </section>
  );
}

interface VerdictProps {
  readonly first: SandboxDetail;
  readonly second: SandboxDetail;
  readonly differences: ReturnType<typeof mainDifferences>;
}

function Verdict({ first, second, differences }: VerdictProps) {
  const [a, b] = [first.summary.startMs, second.summary.startMs];
  const difference_ = a === undefined || b === undefined ? undefined : b - a;
  return (
    <p className="why">
      {difference_ === undefined && "One of them has not started, so only its steps can be compared. "}
      {difference_ !== undefined && Math.abs(difference_) < 1 && "Both started equally fast. "}
      {difference_ !== undefined && Math.abs(difference_) >= 1 && (
        <>
          B started <b>{duration(Math.abs(difference_))}</b> {difference_ > 0 ? "slower" : "faster"} than A.{" "}
        </>
      )}
      {differences.length > 0 && "Most of the difference: "}
      {differences.map((step, index) => (
        <span key={`${step.key} ${step.first?.entryId} ${step.second?.entryId}`}>
          {index > 0 && ", "}
          <code>{step.name}</code> of {step.chart} (
          {step.mark === "onlyFirst" ? "only A, " : step.mark === "onlySecond" ? "only B, " : ""}
          {difference(step.ms)})
        </span>
      ))}
      {differences.length > 0 && "."}
    </p>
  );
}
