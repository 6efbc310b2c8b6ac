/** The daemon's clock, which a browser on another machine does not have: the page reckons in it. */
import { useSyncExternalStore } from "react";

let ahead = 0;
let current = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

/** Ten a second: fast enough for seconds that run down, and cheap. */
const TICK_MS = 100;

/** The daemon has said what time it is. */
export function setDaemonTime(now: number): void {
  ahead = now - Date.now();
}

export function daemonTime(): number {
  return Date.now() + ahead;
}

/** The time, which goes on. @param everyMs so often at most */
export function useNow(everyMs: number): number {
  return useSyncExternalStore(subscribe, () => Math.floor(current / everyMs) * everyMs);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  current = daemonTime();
  timer ??= setInterval(() => {
    current = daemonTime();
    for (const each of listeners) each();
  }, TICK_MS);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}
