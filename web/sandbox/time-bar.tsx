/**
 * The slider through a sandbox's history, back to its creation.
 *
 * Idle stretches are short on it (model/time-scale.ts); the marks are what happened. It is a range input, so that keys and screen
 * readers know it.
 */
import { useEffect } from "react";
import type { SandboxDetail } from "../../src/contracts/inspection.ts";
import type { TimeScale } from "../model/time-scale.ts";
import { clock, difference, duration } from "../model/words.ts";
import { announce } from "../parts/announcer.tsx";
import { toneOf } from "../parts/badges.tsx";
import { Icon } from "../parts/icons.tsx";
import type { Player } from "./use-player.ts";

/** Steps of the slider. */
const PLACES = 2_000;

export interface TimeBarProps {
  readonly detail: SandboxDetail;
  readonly scale: TimeScale;
  readonly player: Player;
  readonly now: number;
  readonly replayed: boolean;
  /** At the instant that is shown. */
  readonly state: string;
}

export function TimeBar({ detail, scale, player, now, replayed, state }: TimeBarProps) {
  const at = player.at ?? now;
  const { createdAt, endedAt } = detail.summary;
  const hasEnded = endedAt !== undefined || replayed;
  useEffect(() => {
    if (state !== "") announce(`state ${state}`);
  }, [state]);
  const move = (place: number): void =>
    player.show(place >= PLACES ? undefined : scale.instant(place / PLACES));
  return (
    <section className="time-bar" aria-label="History">
      <div className="time-buttons">
        <button
          type="button"
          className="button quiet"
          aria-label="One moment back ([)"
          onClick={() => player.step(-1)}
        >
          <Icon name="back" />
        </button>
        <button
          type="button"
          className="button quiet"
          aria-label={player.isPlaying ? "Pause (p)" : "Play (p)"}
          onClick={player.toggle}
        >
          <Icon name={player.isPlaying ? "pause" : "play"} />
        </button>
        <button
          type="button"
          className="button quiet"
          aria-label="One moment on (])"
          onClick={() => player.step(1)}
        >
          <Icon name="forward" />
        </button>
      </div>
      <div className="time-track">
        <Marks detail={detail} scale={scale} />
        <input
          type="range"
          min={0}
          max={PLACES}
          step={1}
          value={player.at === undefined ? PLACES : Math.round(scale.place(at) * PLACES)}
          aria-label="Instant that is shown"
          aria-valuetext={`${difference(at - createdAt)} after creation, ${state === "" ? "not created" : state}`}
          onChange={(event) => move(event.target.valueAsNumber)}
        />
      </div>
      <output className="time-now">
        <b>{difference(at - createdAt)}</b>
        <span>{clock(at)}</span>
      </output>
      <button
        type="button"
        className="button"
        data-live={!hasEnded}
        aria-pressed={player.at === undefined}
        onClick={() => player.show(undefined)}
      >
        <span className="dot" aria-hidden="true" />
        {hasEnded ? "End" : "Now"}
      </button>
      {detail.forgotten > 0 && (
        <p className="time-note">{detail.forgotten} older entries had to make room.</p>
      )}
    </section>
  );
}

/** A stroke for each transition of the sandbox's own chart, and breaks where nothing happened. */
function Marks({ detail, scale }: Pick<TimeBarProps, "detail" | "scale">) {
  const stays = detail.history
    .filter(({ kind, chart }) => kind === "transition" && chart === "sandbox")
    .sort((a, b) => a.id - b.id);
  const others = detail.history.filter(({ kind, chart }) => kind === "transition" && chart !== "sandbox");
  const percent = (at: number): string => `${(scale.place(at) * 100).toFixed(3)}%`;
  return (
    <div className="time-marks" aria-hidden="true">
      {stays.map((entry, index) => {
        const [from, to] = [scale.place(entry.at), scale.place(stays[index + 1]?.at ?? scale.to)];
        const outer = (entry.to ?? "").split(".")[0] ?? "";
        const style = { left: `${from * 100}%`, width: `${Math.max(0.15, (to - from) * 100)}%` };
        return (
          <span
            key={entry.id}
            className="time-stay"
            data-tone={entry.error ? "bad" : toneOf(phaseOf(outer))}
            style={style}
            title={entry.to}
          />
        );
      })}
      {scale.stretches
        .filter(({ idle }) => idle)
        .map(({ from, to, left, right }) => (
          <span
            key={from}
            className="time-idle"
            style={{ left: `${left * 100}%`, width: `${(right - left) * 100}%` }}
            title={duration(to - from)}
          />
        ))}
      {others.map((entry) => (
        <span
          key={entry.id}
          className="time-tick"
          data-failed={entry.error !== undefined}
          style={{ left: percent(entry.at) }}
        />
      ))}
    </div>
  );
}

/** The states of the sandbox's chart that are no phases of their own. */
function phaseOf(state: string): string {
  if (state === "failing") return "failed";
  return state === "removed" ? "stopped" : state;
}
