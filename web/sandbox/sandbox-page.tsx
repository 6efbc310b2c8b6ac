/** One sandbox at an instant of its history: its charts, its timeline, what it holds, and what it said. */
import { useMemo, useState } from "react";
import type { ChartDefinition, ChartKey, SandboxDetail } from "../../src/contracts/inspection.ts";
import { useNow } from "../data/clock.ts";
import { useSandbox } from "../data/sandbox.ts";
import { chartAt, chartKeys, goingOnAt, momentsOf, stateAt } from "../model/moments.ts";
import { TimeScale } from "../model/time-scale.ts";
import { Nothing } from "../parts/card.tsx";
import { useKeys } from "../parts/keys.ts";
import { Timeline } from "../timeline/timeline.tsx";
import { ChartCard } from "./chart-card.tsx";
import { Deadlines, Facts, Resources } from "./held.tsx";
import { KeptLogs, Logs } from "./logs.tsx";
import { SandboxHead } from "./sandbox-head.tsx";
import { TimeBar } from "./time-bar.tsx";
import { usePlayer } from "./use-player.ts";

export interface SandboxPageProps {
  readonly id: string;
  readonly charts: readonly ChartDefinition[];
}

/** While something goes on, and while nothing does. */
const FAST_MS = 200;
const SLOW_MS = 1_000;

export function SandboxPage({ id, charts }: SandboxPageProps) {
  const { detail, error, replayed, logs } = useSandbox(id);
  if (detail !== undefined)
    return <Sandbox id={id} detail={detail} charts={charts} replayed={replayed} logs={logs} error={error} />;
  if (error === undefined) return <Nothing>Asking…</Nothing>;
  return (
    <div className="notice" role="alert">
      <h1>This sandbox cannot be shown</h1>
      <p>{error}</p>
    </div>
  );
}

interface SandboxProps extends SandboxPageProps {
  readonly detail: SandboxDetail;
  readonly replayed: boolean;
  readonly error: string | undefined;
  readonly logs: Readonly<Record<string, string>> | undefined;
}

function Sandbox({ id, detail, charts, replayed, error, logs }: SandboxProps) {
  const now = useEndOrNow(detail, replayed);
  const scale = useMemo(() => TimeScale.of(detail.history, firstOf(detail), now), [detail, now]);
  const moments = useMemo(() => momentsOf(detail), [detail]);
  const player = usePlayer(scale, moments);
  const at = player.at ?? now;
  const [chosen, setChosen] = useState<ChartKey>();
  const [selected, setSelected] = useState<number>();
  const keys = useMemo(() => chartKeys(detail), [detail]);
  const key = chosen ?? mostTelling(detail, keys, at);
  useKeys({
    "[": () => player.step(-1),
    "]": () => player.step(1),
    "{": () => player.show(scale.from),
    "}": () => player.show(undefined),
    l: () => player.show(undefined),
    p: player.toggle,
    ...Object.fromEntries(keys.slice(0, 9).map((each, index) => [String(index + 1), () => setChosen(each)])),
  });
  const isPast = player.at !== undefined;
  return (
    <div className="sandbox">
      <SandboxHead id={id} detail={detail} at={at} isPast={isPast} replayed={replayed} error={error} />
      <TimeBar
        detail={detail}
        scale={scale}
        player={player}
        now={now}
        replayed={replayed}
        state={stateAt(detail, at)}
      />
      <ChartCard
        detail={detail}
        charts={charts}
        chartKey={key}
        keys={keys}
        choose={setChosen}
        at={at}
        isPast={isPast || replayed}
      />
      <div className="sandbox-side">
        <Deadlines detail={detail} at={at} isPast={isPast} goingOn={goingOnAt(detail.history, at)} />
        <Timeline
          detail={detail}
          scale={scale}
          at={at}
          now={now}
          selected={selected}
          select={setSelected}
          show={player.show}
        />
        {replayed ? <KeptLogs logs={logs ?? {}} /> : <Logs id={id} endedWell={hasEndedWell(detail)} />}
        <Resources detail={detail} isPast={isPast} />
        <Facts detail={detail} moment={chartAt(detail, key, at)} isPast={isPast} />
      </div>
    </div>
  );
}

function hasEndedWell({ summary: { endedAt, failure } }: SandboxDetail): boolean {
  return endedAt !== undefined && failure === undefined;
}

/** The end of what there is to see. */
function useEndOrNow({ summary, history }: SandboxDetail, replayed: boolean): number {
  const isMoving = history.some(
    (entry) => entry.ms === undefined && (entry.kind === "effect" || entry.kind === "step"),
  );
  const ticking = useNow(isMoving ? FAST_MS : SLOW_MS);
  const last = history.reduce((latest, { at, ms }) => Math.max(latest, at + (ms ?? 0)), summary.createdAt);
  if (summary.endedAt !== undefined) return Math.max(summary.endedAt, last);
  return replayed ? last : Math.max(ticking, last);
}

/** The creation, as the sandbox's own chart tells it; the call that asked for it came a little earlier. */
function firstOf({ summary, history }: SandboxDetail): number {
  const moves = history.filter(({ kind, chart }) => kind === "transition" && chart === "sandbox");
  const first = moves.reduce((earliest, { at }) => Math.min(earliest, at), Number.POSITIVE_INFINITY);
  return moves.length === 0 ? summary.createdAt : first;
}

/** While a VM comes to be, its chart tells more than that of the sandbox. */
function mostTelling(detail: SandboxDetail, keys: readonly ChartKey[], at: number): ChartKey {
  const isBooting = chartAt(detail, "sandbox", at).active.includes("booting");
  return isBooting && keys.includes("boot") && chartAt(detail, "boot", at).active.length > 0
    ? "boot"
    : "sandbox";
}
