/**
 * The table of a run of fidelity, as text: a line for each case, and both answers where they differ.
 */
import type { FidelityCase } from "./case.ts";
import type { Handler } from "./handler-pod.ts";

const FAILED = 1;
/** Of an answer, on one line. */
const MAX_SHOWN = 60;
/** How the answer of a case begins that has not ended. */
export const HANGING = "it has not ended within";
/** How the answer of a case begins that could not be tried. */
export const FAILING = "failed:";

export class FidelityReport {
  private readonly counts = { same: 0, different: 0, explained: 0 };

  constructor(private readonly out: Pick<NodeJS.WritableStream, "write">) {}

  add({ name, explained }: Pick<FidelityCase, "name" | "explained">, answers: Record<Handler, string>): void {
    // two that hang, or fail in the same way, tell nothing: the case is at fault, or the node that it runs on
    const told = ![HANGING, FAILING].some((words) => answers.runc.startsWith(words));
    const same = answers.runc === answers.blazar && told;
    const outcome = same ? "same" : explained === undefined ? "different" : "explained";
    this.counts[outcome]++;
    this.out.write(`${outcome.padEnd(9)}  ${name}: ${outcome === "same" ? shown(answers.runc) : ""}\n`);
    if (outcome === "same") return;
    for (const handler of ["runc", "blazar"] as const)
      this.out.write(`           ${handler.padEnd(6)}  ${JSON.stringify(answers[handler])}\n`);
    if (explained !== undefined) this.out.write(`           why     ${explained}\n`);
  }

  /** The case is tried once more under runc, whose answer was another one than blazar's. */
  again({ name }: Pick<FidelityCase, "name">, answer: string): void {
    this.out.write(`again      ${name}: runc has said ${JSON.stringify(answer)}\n`);
  }

  /** Prints the sum; returns the exit code. */
  close(): number {
    const { same, different, explained } = this.counts;
    this.out.write(`${same} same, ${different} different, ${explained} explained\n`);
    return different === 0 ? 0 : FAILED;
  }
}

function shown(answer: string): string {
  const line = answer.replaceAll("\n", " | ");
  return line.length > MAX_SHOWN ? `${line.slice(0, MAX_SHOWN)}…` : line;
}
