/**
 * Counts of a test run, out of vitest's JSON report.
 *
 * A file that fails while it is loaded has no tests to count, yet the run has failed: then one failure is counted. Must
 * never report a failed run as a green one.
 */
import { z } from "zod/mini";

/** How many tests ended how. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const Report = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  numTodoTests: z.number(),
});

/** Reads the report; without one, or with a bad exit status and no failed test, one failure is counted. */
export function countResults(report: string | undefined, status: number): Counts {
  const parsed = report === undefined ? undefined : Report.safeParse(parseJson(report));
  if (parsed?.success !== true) return { passed: 0, failed: 1, skipped: 0 };
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = parsed.data;
  return {
    passed: numPassedTests,
    failed: status === 0 ? numFailedTests : Math.max(numFailedTests, 1),
    skipped: numPendingTests + numTodoTests,
  };
}

/** The line that ends a run. */
export function closingLine(counts: Counts): string {
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
  return `${counts.passed} passed, ${counts.failed} failed${skipped}`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
