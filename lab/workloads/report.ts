/**
 * The table of a run of the workloads, as text: a line each, the answers that are wrong, and the counts.
 */
import type { Handler } from "../fidelity/handler-pod.ts";
import type { Workload } from "./workload.ts";

const FAILED = 1;

export class WorkloadReport {
  private readonly right = new Map<Handler, number>();
  private all = 0;

  constructor(
    private readonly out: Pick<NodeJS.WritableStream, "write">,
    private readonly handlers: readonly Handler[],
  ) {}

  /** Prints the workload's line, and what was answered where that is not right. */
  add({ name, right }: Pick<Workload, "name" | "right">, answers: Partial<Record<Handler, string>>): void {
    this.all++;
    const wanted = right.join("\n");
    const verdicts = this.handlers.map((handler) => {
      const good = answers[handler] === wanted;
      if (good) this.right.set(handler, (this.right.get(handler) ?? 0) + 1);
      return `${handler} ${good ? "right" : "WRONG"}`;
    });
    this.out.write(`${verdicts.join("  ")}  ${name}\n`);
    for (const handler of this.handlers) {
      if (answers[handler] === wanted) continue;
      this.out.write(`  ${handler} answered:\n${indented(answers[handler] ?? "nothing")}\n`);
      this.out.write(`  right is:\n${indented(wanted)}\n`);
    }
  }

  /** Prints the counts; returns the exit code. */
  close(): number {
    for (const handler of this.handlers)
      this.out.write(`${handler.padEnd(6)}  ${this.right.get(handler) ?? 0} of ${this.all} right\n`);
    const good = this.all > 0 && this.handlers.every((handler) => this.right.get(handler) === this.all);
    return good ? 0 : FAILED;
  }
}

function indented(text: string): string {
  return text
    .split("\n")
    .map((line) => `    ${line}`)
    .join("\n");
}
