/**
 * Signals as events: signalfd(2) in the loop, no code in signal handlers.
 *
 * A signal that is watched here is blocked for the process. `sys.clone` unblocks it in the child.
 */
import * as sys from "sys";
import { check } from "./check.ts";
import type { EventLoop } from "./event-loop.ts";

/** Signals that one pass handles; the others wait in the kernel. */
const PER_PASS = 16;

/** Calls `handler` for each signal of the list, in the loop. Returns a function that stops it; the signals stay blocked. */
export function watchSignals(
  loop: EventLoop,
  signals: readonly number[],
  handler: (signal: number) => void,
): () => void {
  const fd = check(sys.signalfd(signals), "watch signals", signals.join(","));
  const watch = loop.watch(fd, {
    readable: () => {
      for (let count = 0; count < PER_PASS; count++) {
        const info = sys.readSignal(fd);
        if (typeof info === "number") return;
        handler(info.signal);
      }
    },
  });
  return () => {
    watch.stop();
    sys.close(fd);
  };
}
