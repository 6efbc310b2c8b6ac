/**
 * The table of a run of critest, as text: case, runc, blazar and a remark; then the counts of both.
 */
import type { Handler } from "../fidelity/handler-pod.ts";
import { reasonFor } from "./explained.ts";
import type { CaseResult, Outcome, Results } from "./results.ts";

const FAILED = 1;
/** Of a failure's message. */
const MAX_SHOWN = 300;

export type ResultsByHandler = Partial<Record<Handler, Results>>;

export interface Row {
  readonly name: string;
  readonly outcomes: Partial<Record<Handler, Outcome>>;
  readonly remark: string;
  /** blazar does not pass what runc passes, and nothing explains it. */
  readonly wrong: boolean;
}

/** The rows, by the cases' names. */
export function rowsOf(results: ResultsByHandler): Row[] {
  const all = Object.values(results).flatMap((each) => [...each.keys()]);
  return [...new Set(all)].sort().map((name) => rowOf(name, results));
}

function rowOf(name: string, results: ResultsByHandler): Row {
  const [runc, blazar] = [results.runc?.get(name), results.blazar?.get(name)];
  const explained = reasonFor(name);
  const wrong = blazar !== undefined && isWorse(blazar, runc) && explained === undefined;
  const failed = runc?.outcome === "failed" || blazar?.outcome === "failed" || wrong;
  const outcomes = { ...(runc && { runc: runc.outcome }), ...(blazar && { blazar: blazar.outcome }) };
  return { name, outcomes, remark: failed ? (explained ?? remarkOn(runc, blazar)) : "", wrong };
}

/** Without a run of runc to compare with, whatever fails is worse. A case that runc passes must not be skipped, either. */
function isWorse(blazar: CaseResult, runc: CaseResult | undefined): boolean {
  if (runc === undefined) return blazar.outcome === "failed";
  return runc.outcome === "passed"
    ? blazar.outcome !== "passed"
    : blazar.outcome === "failed" && runc.outcome === "skipped";
}

function remarkOn(runc: CaseResult | undefined, blazar: CaseResult | undefined): string {
  const message = blazar === undefined || blazar.outcome === "passed" ? runc?.message : blazar.message;
  const line = (message ?? "").replaceAll(/\s+/g, " ").trim();
  return line.length > MAX_SHOWN ? `${line.slice(0, MAX_SHOWN)}…` : line;
}

/** Prints the table and the counts; returns the exit code. */
export function printReport(out: Pick<NodeJS.WritableStream, "write">, results: ResultsByHandler): number {
  const rows = rowsOf(results);
  const width = Math.max(...rows.map(({ name }) => name.length), "case".length);
  const line = (name: string, runc: string, blazar: string, remark: string): void =>
    void out.write(
      `${name.padEnd(width)}  ${runc.padEnd(7)}  ${blazar.padEnd(7)}  ${remark}`.trimEnd().concat("\n"),
    );
  line("case", "runc", "blazar", "remark");
  for (const { name, outcomes, remark, wrong } of rows)
    line(name, outcomes.runc ?? "–", outcomes.blazar ?? "–", wrong ? `NOT EXPLAINED: ${remark}` : remark);
  out.write("\n");
  for (const handler of ["runc", "blazar"] as const) {
    const of = results[handler];
    if (of !== undefined) out.write(`${handler.padEnd(6)}  ${counts(of)}\n`);
  }
  const wrong = rows.filter((row) => row.wrong).length;
  if (results.blazar !== undefined) out.write(`blazar does not pass ${wrong} that have no explanation\n`);
  return wrong === 0 && ran(results) ? 0 : FAILED;
}

/** A run in which no case passed has shown nothing. */
function ran(results: ResultsByHandler): boolean {
  return Object.values(results).every((each) =>
    [...each.values()].some(({ outcome }) => outcome === "passed"),
  );
}

function counts(results: Results): string {
  const of = (outcome: Outcome) => [...results.values()].filter((each) => each.outcome === outcome).length;
  return `${of("passed")} of ${of("passed") + of("failed")} passed, ${of("skipped")} skipped`;
}
