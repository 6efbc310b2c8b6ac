/** Figures in words, of one width where they stand below each other. Pure. */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `0.4 ms`, `41 ms`, `1.24 s`, `3 m 12 s`, `2 h 5 m`, `3 d 4 h`. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  const size = Math.abs(ms);
  const sign = ms < 0 ? "−" : "";
  if (size < 9.95) return `${sign}${trimmed(size.toFixed(1))} ms`;
  if (size < SECOND - 0.5) return `${sign}${size.toFixed(0)} ms`;
  if (size < 9.995 * SECOND) return `${sign}${(size / SECOND).toFixed(2)} s`;
  if (size < MINUTE - 50) return `${sign}${(size / SECOND).toFixed(1)} s`;
  if (size < HOUR) return sign + pair(size, MINUTE, "m", SECOND, "s");
  if (size < DAY) return sign + pair(size, HOUR, "h", MINUTE, "m");
  return sign + pair(size, DAY, "d", HOUR, "h");
}

/** `+1.2 s`, `−40 ms`. */
export function difference(ms: number): string {
  return ms < 0 ? duration(ms) : `+${duration(ms)}`;
}

export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${trimmed(value.toFixed(value < 9.95 && unit > 0 ? 1 : 0))} ${units[unit]}`;
}

/** Time of day to the millisecond, in the reader's zone. */
export function clock(at: number): string {
  const date = new Date(at);
  const two = (value: number): string => String(value).padStart(2, "0");
  const milliseconds = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}

/** `1 pod`, `2 pods`. */
export function counted(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

/** What an id is known by: containerd's are 64 digits. */
export function shortId(id: string): string {
  return id.length > 16 ? id.slice(0, 12) : id;
}

function pair(ms: number, large: number, largeName: string, small: number, smallName: string): string {
  const whole = Math.round(ms / small) * small;
  const first = Math.floor(whole / large);
  const second = Math.round((whole - first * large) / small);
  return second === 0 ? `${first} ${largeName}` : `${first} ${largeName} ${second} ${smallName}`;
}

function trimmed(figure: string): string {
  return figure.endsWith(".0") ? figure.slice(0, -2) : figure;
}
