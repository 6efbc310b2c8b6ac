/**
 * The table of a run of the network tests, as text: a line for each case, and both answers where they differ.
 */
import type { Handler } from "../fidelity/handler-pod.ts";
import type { NetworkCase } from "./case.ts";

type Outcome = "same" | "different" | "explained" | "alone";

const FAILED = 1;
/** Of an answer, on one line. */
const MAX_SHOWN = 70;

export class NetworkReport {
  private readonly counts = { same: 0, different: 0, explained: 0, alone: 0 };

  constructor(
    private readonly out: Pick<NodeJS.WritableStream, "write">,
    private readonly handlers: readonly Handler[],
  ) {}

  add(each: NetworkCase, answers: Partial<Record<Handler, string>>): void {
    const outcome = outcomeOf(each, answers);
    this.counts[outcome]++;
    const first = answers[this.handlers[0] ?? "runc"] ?? "";
    const shown = outcome === "same" ? shorten(first) : "";
    this.out.write(`${outcome.padEnd(9)}  ${each.name}: ${shown}\n`);
    if (outcome === "same") return;
    for (const handler of this.handlers)
      this.out.write(`           ${handler.padEnd(6)}  ${JSON.stringify(answers[handler])}\n`);
    if (each.explained !== undefined) this.out.write(`           why     ${each.explained}\n`);
  }

  /** Prints the sum; returns the exit code. */
  close(): number {
    const { same, different, explained, alone } = this.counts;
    const more = alone === 0 ? "" : `, ${alone} under one handler only`;
    this.out.write(`${same} same, ${different} different, ${explained} explained${more}\n`);
    return different === 0 ? 0 : FAILED;
  }
}

function outcomeOf({ explained, blazar }: NetworkCase, answers: Partial<Record<Handler, string>>): Outcome {
  if (answers.runc === undefined || answers.blazar === undefined) return "alone";
  if (answers.runc === answers.blazar) return answers.runc.startsWith("failed: ") ? "different" : "same";
  return explained !== undefined && (blazar?.test(answers.blazar) ?? true) ? "explained" : "different";
}

function shorten(answer: string): string {
  const line = answer.replaceAll("\n", " | ");
  return line.length > MAX_SHOWN ? `${line.slice(0, MAX_SHOWN)}…` : line;
}
