/**
 * Durations, moments and sizes in the short form that operators know from kubectl.
 */
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How long: `7.1 ms`, `812 ms`, `12.4 s`, `4m10s`, `3h12m`, `5d2h`. */
export function span(ms: number): string {
  if (ms < 0) return `-${span(-ms)}`;
  if (ms < 99.95) return `${ms.toFixed(1)} ms`;
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  if (ms < 2 * MINUTE) return `${(ms / SECOND).toFixed(1)} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)}m${Math.floor((ms % MINUTE) / SECOND)}s`;
  if (ms < 2 * DAY) return `${Math.floor(ms / HOUR)}h${Math.floor((ms % HOUR) / MINUTE)}m`;
  return `${Math.floor(ms / DAY)}d${Math.floor((ms % DAY) / HOUR)}h`;
}

/** How old, as a column shows it: `0s`, `14s`, `4m10s`. */
export function age(ms: number): string {
  return ms < 2 * MINUTE ? `${Math.max(0, Math.floor(ms / SECOND))}s` : span(ms);
}

/** `2026-03-01T03:00:12.345Z`. */
export function moment(at: number): string {
  return new Date(at).toISOString();
}

/** The time of day: `03:00:12.345`. */
export function clockTime(at: number): string {
  return moment(at).slice(11, 23);
}

/** `256Mi`, `1.5Gi`. */
export function size(bytes: number): string {
  if (bytes >= 2 ** 30) return `${trimmed(bytes / 2 ** 30)}Gi`;
  if (bytes >= 2 ** 20) return `${Math.round(bytes / 2 ** 20)}Mi`;
  return bytes >= 2 ** 10 ? `${Math.round(bytes / 2 ** 10)}Ki` : `${bytes}`;
}

function trimmed(value: number): string {
  return value.toFixed(1).replace(/\.0$/, "");
}
