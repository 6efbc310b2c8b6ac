/**
 * `blazar replay` on a terminal: stepping through a recording with keys, forwards and back.
 */
import { keysOf, LiveTerminal } from "../live-terminal.ts";
import type { Screen } from "../screen.ts";
import type { Recording } from "./file.ts";
import { type Instant, instantsOf, isMilestone } from "./instants.ts";
import { replayPage } from "./page.ts";

const HELP = "← → step · ↑ ↓ to the next transition or call · Home End · space play · q quit";
/** Between two steps of a recording that plays. */
const PLAY_MS = 400;

/** Until `q` or Ctrl-C. */
export async function replayLive(recording: Recording, screenNow: () => Screen): Promise<void> {
  const instants = instantsOf(recording);
  using terminal = new LiveTerminal(process.stdin, process.stdout);
  let index = 0;
  let playing: NodeJS.Timeout | undefined;
  const draw = () => terminal.draw(`${replayPage(recording, instants, index, screenNow())}\n${HELP}`);
  const stop = () => {
    clearInterval(playing);
    playing = undefined;
  };
  const play = () => {
    playing = setInterval(() => {
      index = Math.min(index + 1, instants.length - 1);
      if (index === instants.length - 1) stop();
      draw();
    }, PLAY_MS);
  };
  process.stdout.on("resize", draw);
  draw();
  try {
    await new Promise<void>((resolve) => {
      const stopKeys = keysOf(process.stdin, (key) => {
        if (key === "q" || key === "ctrl-c") {
          stopKeys();
          return resolve();
        }
        const was = playing;
        stop();
        if (key === "space" && was === undefined) play();
        index = moved(key, index, instants);
        draw();
      });
    });
  } finally {
    stop();
    process.stdout.off("resize", draw);
  }
}

/** Where a key leads to. */
export function moved(key: string, index: number, instants: readonly Instant[]): number {
  const last = Math.max(0, instants.length - 1);
  const within = (wanted: number) => Math.min(last, Math.max(0, wanted));
  if (key === "right" || key === "l") return within(index + 1);
  if (key === "left" || key === "h") return within(index - 1);
  if (key === "page-down") return within(index + 10);
  if (key === "page-up") return within(index - 10);
  if (key === "home" || key === "g") return 0;
  if (key === "end" || key === "G") return last;
  if (key === "down" || key === "j") {
    const next = instants.findIndex((instant, at) => at > index && isMilestone(instant));
    return next < 0 ? last : next;
  }
  if (key === "up" || key === "k")
    return Math.max(
      0,
      instants.findLastIndex((instant, at) => at < index && isMilestone(instant)),
    );
  return index;
}
