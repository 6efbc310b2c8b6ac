/** Which sandbox it is, and why it is as it is. */
import { useQueryClient } from "@tanstack/react-query";
import type { SandboxDetail } from "../../src/contracts/inspection.ts";
import { live } from "../data/live.ts";
import { replays } from "../data/replays.ts";
import { addressOf, go } from "../data/route.ts";
import { useStore } from "../data/store.ts";
import { harmless } from "../model/harmless.ts";
import { bytes, duration, shortId } from "../model/words.ts";
import { PhaseBadge, StuckBadge } from "../parts/badges.tsx";
import { Icon } from "../parts/icons.tsx";
import { Guest } from "../parts/text.tsx";

export interface SandboxHeadProps {
  readonly id: string;
  readonly detail: SandboxDetail;
  readonly at: number;
  readonly isPast: boolean;
  readonly replayed: boolean;
  readonly error: string | undefined;
}

export function SandboxHead({ id, detail: { summary, why }, isPast, error }: SandboxHeadProps) {
  const { pod, stuck, failure } = summary;
  const tone = stuck !== undefined ? "stuck" : failure !== undefined ? "bad" : undefined;
  return (
    <header className="head">
      <div className="head-line">
        <a className="button quiet" href={addressOf({ page: "fleet" })} aria-label="Back to all sandboxes">
          <Icon name="back" />
        </a>
        <h1>
          <span className="head-namespace">
            <Guest text={pod.namespace} most={60} />/
          </span>
          <Guest text={pod.name} most={80} />
        </h1>
        {stuck !== undefined && <StuckBadge />}
        <PhaseBadge phase={summary.phase} />
        <span className="top-space" />
        <CompareWith id={id} />
      </div>
      <Facts detail={summary} />
      <p className="why" data-tone={tone}>
        <Guest text={why} most={1_500} />
        {isPast && <span className="why-note"> (This is about now. Below, the past is shown.)</span>}
      </p>
      {error !== undefined && (
        <p className="why" data-tone="ending" role="alert">
          What is shown may be old: {error}
        </p>
      )}
    </header>
  );
}

function Facts({ detail }: { readonly detail: SandboxDetail["summary"] }) {
  const { id, pod, path, startMs, pid, vcpus, memoryBytes, containers } = detail;
  const facts: readonly (readonly [string, string])[] = [
    ["Sandbox", shortId(id)],
    ["Start", startMs === undefined ? "–" : duration(startMs)],
    ["VM from", path === "" ? "–" : path],
    ["VMM", pid === 0 ? "–" : `pid ${pid}`],
    ["Size", `${vcpus} vCPU · ${bytes(memoryBytes)}`],
    ["Containers", String(containers)],
    ["Attempt", String(pod.attempt)],
  ];
  return (
    <dl className="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd title={name === "Sandbox" ? harmless(id) : undefined}>
            <Guest text={value} most={80} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** Any other sandbox, those from files included. */
function CompareWith({ id }: { readonly id: string }) {
  const others = useStore(live.sandboxes).filter((other) => other.id !== id);
  const files = useStore(replays).filter(({ key }) => key !== id);
  const queries = useQueryClient();
  if (others.length + files.length === 0) return null;
  const quick = others.filter(({ startMs }) => startMs !== undefined);
  const ordered = [...quick, ...others.filter(({ startMs }) => startMs === undefined)];
  return (
    <label className="button select">
      <Icon name="compare" />
      <select
        aria-label="Compare with another sandbox"
        value=""
        onChange={(event) => {
          void queries.cancelQueries({ queryKey: ["sandbox", id] });
          go({ page: "compare", first: event.target.value, second: id });
        }}
      >
        <option value="" disabled>
          Compare with…
        </option>
        {files.map(({ key, file }) => (
          <option key={key} value={key}>
            {harmless(file, 60)}
          </option>
        ))}
        {ordered.map(({ id: other, pod, startMs }) => (
          <option key={other} value={other}>
            {harmless(`${pod.namespace}/${pod.name}`, 60)}
            {startMs === undefined ? "" : ` (${duration(startMs)})`}
          </option>
        ))}
      </select>
    </label>
  );
}
