/** The node in a few figures. */
import { useEffect, useState } from "react";
import type { NodeStatus, SandboxSummary } from "../../src/contracts/inspection.ts";
import { useNow } from "../data/clock.ts";
import { countsByPhase, PHASES } from "../model/fleet.ts";
import { bytes, duration } from "../model/words.ts";
import { toneOf } from "../parts/badges.tsx";
import { Rate, type Sample } from "./rate.tsx";

const PATHS = ["pool", "fork", "clone", "boot"];
const MINUTE = 60_000;

export interface FiguresProps {
  readonly node: NodeStatus | undefined;
  readonly sandboxes: readonly SandboxSummary[];
}

export function Figures({ node, sandboxes }: FiguresProps) {
  const counts = countsByPhase(sandboxes);
  const stuck = sandboxes.filter((sandbox) => sandbox.stuck !== undefined).length;
  return (
    <section className="figures" aria-label="The node in figures">
      <div className="figure figure-wide">
        <span className="figure-name">Sandboxes</span>
        <span className="figure-value">
          {sandboxes.length}
          {stuck > 0 && <span className="figure-alert">{stuck} stuck</span>}
        </span>
        <PhaseBar counts={counts} total={sandboxes.length} />
      </div>
      <Starts node={node} />
      <div className="figure">
        <span className="figure-name">Warm VMs</span>
        <span className="figure-value">
          {node?.pool.warm ?? "–"}
          <span className="figure-of"> of {node?.pool.wanted ?? "–"}</span>
        </span>
        <span className="figure-note">ready for the next pods</span>
      </div>
      <Daemon node={node} />
    </section>
  );
}

function PhaseBar({
  counts,
  total,
}: {
  readonly counts: ReadonlyMap<string, number>;
  readonly total: number;
}) {
  const there = PHASES.filter((phase) => (counts.get(phase) ?? 0) > 0);
  return (
    <>
      <div className="phase-bar" aria-hidden="true">
        {there.map((phase) => (
          <span
            key={phase}
            data-tone={toneOf(phase)}
            style={{ flexGrow: (counts.get(phase) ?? 0) / Math.max(1, total) }}
          />
        ))}
      </div>
      <ul className="phase-legend">
        {there.map((phase) => (
          <li key={phase} data-tone={toneOf(phase)}>
            <span className="dot" aria-hidden="true" />
            {phase} <b>{counts.get(phase)}</b>
          </li>
        ))}
      </ul>
    </>
  );
}

/** Starts a second, from what the daemon counts. */
function Starts({ node }: { readonly node: NodeStatus | undefined }) {
  const samples = useSamples(node);
  const starts = node?.starts ?? {};
  const perSecond = (node?.startsLastMinute ?? 0) / (MINUTE / 1000);
  return (
    <div className="figure">
      <span className="figure-name">Starts a second</span>
      <span className="figure-value">
        {node === undefined ? "–" : perSecond.toFixed(perSecond < 10 ? 2 : 1)}
        <span className="figure-of"> last minute</span>
      </span>
      <Rate samples={samples} />
      <span className="figure-note">
        {PATHS.filter((path) => (starts[path] ?? 0) > 0)
          .map((path) => `${path} ${starts[path]}`)
          .join(" · ") || "none yet"}
      </span>
    </div>
  );
}

const KEPT = 60;

function useSamples(node: NodeStatus | undefined): readonly Sample[] {
  const [samples, setSamples] = useState<readonly Sample[]>([]);
  useEffect(() => {
    if (node === undefined) return;
    const total = Object.values(node.starts).reduce((sum, count) => sum + count, 0);
    setSamples((before) => [...before, { at: node.now, total }].slice(-KEPT));
  }, [node]);
  return samples;
}

function Daemon({ node }: { readonly node: NodeStatus | undefined }) {
  const now = useNow(1_000);
  return (
    <div className="figure">
      <span className="figure-name">Daemon</span>
      <span className="figure-value">
        {node === undefined ? "–" : bytes(node.memoryBytes)}
        <span className="figure-of"> memory</span>
      </span>
      {node !== undefined && (
        <span className="figure-note">
          {node.version} · pid {node.pid} · up {duration(Math.max(0, now - node.startedAt))}
          <br />
          {node.vmm} · {node.acceleration === "kvm" ? "KVM" : "software emulation"}
        </span>
      )}
    </div>
  );
}
