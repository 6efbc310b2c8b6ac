/**
 * What a text is made for: how wide, with colours or without, and what time it is. Everything else in this folder is pure.
 *
 * Colours by NO_COLOR (no-color.org), FORCE_COLOR and whether somebody looks.
 */
import colors from "picocolors";

/** That of a DEC VT100, as everywhere. */
export const DEFAULT_SIZE = { rows: 24, columns: 80 } as const;

export type Paint = ReturnType<typeof colors.createColors>;

export interface Screen {
  /** Cells of a line; Infinity where nobody looks: then nothing is cut. */
  readonly columns: number;
  readonly paint: Paint;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** For the standard output of this process. */
export function screenOf({ stdout, env }: Pick<NodeJS.Process, "stdout" | "env">, now: number): Screen {
  const columns = stdout.isTTY ? terminalSize(stdout).columns : Number.POSITIVE_INFINITY;
  return { columns, paint: colors.createColors(isColourful(stdout.isTTY, env)), now };
}

/** A terminal that nobody has told its size has none, such as a serial console or that of script(1). */
export function terminalSize({ rows, columns }: Pick<NodeJS.WriteStream, "rows" | "columns">) {
  return { rows: rows || DEFAULT_SIZE.rows, columns: columns || DEFAULT_SIZE.columns };
}

/** For a test, or for a file. */
export function plainScreen(columns: number, now: number): Screen {
  return { columns, paint: colors.createColors(false), now };
}

export function isColourful(isTerminal: boolean, env: NodeJS.ProcessEnv): boolean {
  if ((env["NO_COLOR"] ?? "") !== "") return false;
  if ((env["FORCE_COLOR"] ?? "0") !== "0") return true;
  return isTerminal && env["TERM"] !== "dumb";
}
