/**
 * Times and names as an operator reads them.
 */
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `12 ms`, `3.4 s`, `2 min 5 s`, `3 h 12 min`, `5 d 2 h`. */
export function duration(ms: number): string {
  const whole = Math.max(0, ms);
  if (whole < 99.5) return `${Number(whole.toPrecision(2))} ms`;
  if (whole < SECOND - 0.5) return `${Math.round(whole)} ms`;
  if (whole < 99.95 * SECOND) return `${(whole / SECOND).toFixed(1)} s`;
  if (whole < HOUR) return pair(whole, MINUTE, "min", SECOND, "s");
  return whole < DAY ? pair(whole, HOUR, "h", MINUTE, "min") : pair(whole, DAY, "d", HOUR, "h");
}

/** `03:12:05 UTC`. */
export function timeOfDay(at: number): string {
  return `${new Date(at).toISOString().slice(11, 19)} UTC`;
}

/** Begins with a capital letter and ends with one full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim().replace(/^[a-z]/, (first) => first.toUpperCase());
  return /[.!?…]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

/** At most so many characters. */
export function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

function pair(ms: number, large: number, largeName: string, small: number, smallName: string): string {
  const rounded = Math.round(ms / small) * small;
  const rest = Math.round((rounded % large) / small);
  const first = `${Math.floor(rounded / large)} ${largeName}`;
  return rest === 0 ? first : `${first} ${rest} ${smallName}`;
}
