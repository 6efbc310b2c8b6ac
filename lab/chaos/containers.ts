/**
 * What containers and execs of chaos run, and what must be in their output.
 *
 * A counter counts until SIGTERM, then tells how far it came. A burst writes all at once and ends. An echo repeats what it reads.
 */
import { readFile } from "node:fs/promises";
import type { Kill } from "./record.ts";
import { checkLines, linesOfLog, PAD, type StreamCheck } from "./streams.ts";

export type ContainerKind = "counter" | "burst" | "echo";

/** Lines of a burst on each stream, and its exit code. */
export const BURST = { stdout: 3_000, stderr: 500, code: 5 } as const;
/** Exit code of a counter that was told to end. */
export const TERMINATED = 7;
/** No exit code: the log is a beginning. */
const CUT = -1;
const KILLED = 137;
const LOST = 255;

const BYE = "bye ";
const lines = (count: number, where = "") =>
  `i=0; while [ $i -lt ${count} ]; do echo "$i${PAD}"${where}; i=$((i+1)); done`;

const SCRIPTS: Readonly<Record<ContainerKind, string>> = {
  counter: [
    "trap stop=1 TERM; i=0",
    `while [ -z "$stop" ]; do echo "$i${PAD}"; echo "$i${PAD}" >&2; i=$((i+1)); sleep 0.2 & wait $!; done`,
    `echo "${BYE}$i"; echo "${BYE}$i" >&2; exit ${TERMINATED}`,
  ].join("; "),
  burst: `${lines(BURST.stdout)}; ${lines(BURST.stderr, " >&2")}; exit ${BURST.code}`,
  echo: 'while read -r line; do echo "$line"; done',
};

export function commandOf(kind: ContainerKind): string[] {
  return ["sh", "-c", SCRIPTS[kind]];
}

/** A command that writes so many lines, slowly or at once, and ends with a code. */
export function countingCommand(count: number, code: number, slowly: boolean): string[] {
  const line = `echo "$i${PAD}"; i=$((i+1))${slowly ? "; sleep 0.1" : ""}`;
  return ["sh", "-c", `i=0; while [ $i -lt ${count} ]; do ${line}; done; exit ${code}`];
}

/** Why a container has ended, as far as chaos has done it. */
export type Cause = Kill | "term-signal" | "kill-signal";

// A containerd that dies between Task.Delete and its own note of the exit code has lost that code, under any runtime.

/** The exit codes that may be. @param causes in any order; several leave several */
export function expectedCodes(kind: ContainerKind, causes: ReadonlySet<Cause>): number[] {
  const codes = new Set<number>(kind === "burst" ? [BURST.code] : []);
  if (causes.has("term-signal"))
    codes
      .add(kind === "counter" ? TERMINATED : KILLED)
      .add(KILLED)
      .add(143);
  if (causes.has("kill-signal") || causes.has("vmm") || causes.has("hang")) codes.add(KILLED);
  if (causes.has("keeper")) codes.add(LOST).add(KILLED);
  if (causes.has("containerd")) codes.add(LOST);
  return [...codes];
}

/** In one container's life; more would hide what is really lost. */
const MOST_CONTAINERD_DEATHS = 3;

/** The log of a container as it is now, held to its counter. @param code its exit code; undefined: it runs */
export async function checkLog(
  logFile: string,
  kind: ContainerKind,
  code: number | undefined,
  causes: ReadonlySet<Cause> = new Set(),
): Promise<Readonly<Record<"stdout" | "stderr", StreamCheck>>> {
  // what has ended when containerd dies, and was not read, is lost with the FIFO, under any runtime; what a keeper had not yet
  // written into the FIFO is lost with the keeper, though the exit code may be known
  const isCut = causes.has("containerd") || causes.has("keeper");
  const hasEndedByItself = code === BURST.code || code === TERMINATED;
  const whole = hasEndedByItself && isCut ? CUT : code;
  const found = linesOfLog(await readFile(logFile, "utf8").catch(() => ""));
  // half a line in the memory of a containerd that dies is lost with it, under any runtime
  const readers = causes.has("containerd") ? MOST_CONTAINERD_DEATHS : 0;
  return {
    stdout: checkStream(found.stdout, kind, whole, BURST.stdout, readers),
    stderr: checkStream(found.stderr, kind, whole, BURST.stderr, readers),
  };
}

function checkStream(
  given: readonly string[],
  kind: ContainerKind,
  code: number | undefined,
  count: number,
  readers: number,
): StreamCheck {
  if (kind === "burst")
    return checkLines(given, { readers, ...(code === BURST.code ? { count } : { cut: true }) });
  const last = given.at(-1) ?? "";
  const told = last.startsWith(BYE) ? Number(last.slice(BYE.length)) : undefined;
  if (told !== undefined) return checkLines(given.slice(0, -1), { readers, count: told });
  // one that has ended in order has said so
  if (kind === "counter" && code === TERMINATED)
    return checkLines(given, { readers, count: given.length + 1 });
  return checkLines(given, { readers, cut: code !== undefined });
}
