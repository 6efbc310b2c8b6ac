/**
 * Work that the history shows as one step: how long it took, and how it failed.
 */
import type { SandboxHistory } from "../contracts/history.ts";
import type { HistoryEntry } from "../contracts/inspection.ts";

/** Settles as `work` does. The step is a part of the effect of `chart` that goes on, if one is named. */
export async function asStep<Result>(
  history: SandboxHistory,
  name: string,
  work: () => Promise<Result>,
  chart?: HistoryEntry["chart"],
): Promise<Result> {
  const span = history.step(name, chart);
  try {
    const result = await work();
    span.end();
    return result;
  } catch (error) {
    span.end(error);
    throw error;
  }
}
