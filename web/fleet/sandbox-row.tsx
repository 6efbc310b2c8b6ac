/** A sandbox in one row. */
import { memo } from "react";
import type { SandboxSummary } from "../../src/contracts/inspection.ts";
import { useNow } from "../data/clock.ts";
import { go } from "../data/route.ts";
import { harmless } from "../model/harmless.ts";
import { duration } from "../model/words.ts";
import { PhaseBadge, StuckBadge, toneOfSandbox } from "../parts/badges.tsx";
import { Guest } from "../parts/text.tsx";

const NAME = 60;

export interface SandboxRowProps {
  readonly sandbox: SandboxSummary;
  readonly index: number;
  readonly top: number;
  readonly height: number;
  readonly isCurrent: boolean;
  readonly isMarked: boolean;
  readonly toggle: (id: string) => void;
  readonly focused: (id: string) => void;
}

export const SandboxRow = memo(function SandboxRow(props: SandboxRowProps) {
  const { sandbox, index, top, height, isCurrent, isMarked, toggle, focused } = props;
  const { id, pod, phase, state, path, startMs } = sandbox;
  const name = `${pod.namespace}/${pod.name}`;
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isMarked}
      tabIndex={isCurrent ? 0 : -1}
      data-id={id}
      data-tone={toneOfSandbox(sandbox)}
      className="grid-row"
      style={{ transform: `translateY(${top}px)`, height }}
      onClick={() => go({ page: "sandbox", id })}
      onFocus={() => focused(id)}
    >
      <span role="gridcell" className="grid-mark">
        <input
          type="checkbox"
          tabIndex={-1}
          checked={isMarked}
          aria-label={`mark ${harmless(name, NAME)} for a comparison`}
          onChange={() => toggle(id)}
          onClick={(event) => event.stopPropagation()}
        />
      </span>
      <span role="gridcell" className="grid-name">
        <span className="grid-namespace">
          <Guest text={pod.namespace} most={NAME} />/
        </span>
        <Guest text={pod.name} most={NAME} />
      </span>
      <span role="gridcell" className="grid-state">
        {sandbox.stuck === undefined ? <PhaseBadge phase={phase} /> : <StuckBadge />}
        <code>{state}</code>
        <InState sandbox={sandbox} />
      </span>
      <span role="gridcell" className="number grid-start">
        {startMs === undefined ? <span className="faint">–</span> : duration(startMs)}
        <span className="grid-path">{path}</span>
      </span>
      <span role="gridcell" className="number grid-age">
        <Age sandbox={sandbox} />
      </span>
    </div>
  );
});

/** How long it has been on its way: of no interest where it rests. */
function InState({ sandbox }: { readonly sandbox: SandboxSummary }) {
  if (sandbox.stuck === undefined && /^(ready|stopped|created)/.test(sandbox.state)) return null;
  return <Since since={sandbox.since} />;
}

function Since({ since }: { readonly since: number }) {
  const now = useNow(1_000);
  return <span className="faint"> {duration(Math.max(0, now - since))}</span>;
}

function Age({ sandbox }: { readonly sandbox: SandboxSummary }) {
  const now = useNow(1_000);
  const { createdAt, endedAt } = sandbox;
  if (endedAt === undefined) return duration(Math.max(0, now - createdAt));
  return <span className="faint">ended {duration(Math.max(0, now - endedAt))} ago</span>;
}
