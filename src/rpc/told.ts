/**
 * Calls that change something, told to the history of the sandbox that they are about.
 *
 * What a call sends to a chart has the call as its cause. An error that leaves is ended by a sentence that says what the pod
 * waited for, because kubelet shows its operator nothing else. Must not change an error's code.
 */
import { BlazarError } from "../contracts/errors.ts";
import type { CallFacts, Histories } from "../contracts/history.ts";

/** The name of W3C Trace Context's header, in gRPC's and ttrpc's metadata. */
export const TRACEPARENT = "traceparent";

/** Runs what must be caused by the call: whatever it sends before it returns is. */
export type Within = <Result>(act: () => Result) => Result;

export async function told<Result>(
  histories: Histories,
  sandboxId: string | undefined,
  name: string,
  facts: CallFacts,
  work: (within: Within) => Promise<Result>,
): Promise<Result> {
  if (sandboxId === undefined) return work((act) => act());
  const span = histories.call(sandboxId, name, facts);
  try {
    const result = await work((act) => histories.within(span, act));
    span.end();
    return result;
  } catch (error) {
    span.end(error);
    throw explained(error, histories.explain(sandboxId, error));
  }
}

function explained(error: unknown, sentence: string): unknown {
  if (sentence === "" || !(error instanceof BlazarError)) return error;
  const { remedy } = error.details;
  const end = remedy === undefined ? sentence : `${remedy}. ${sentence}`;
  return new BlazarError(error.code, { ...error.details, remedy: end, cause: error });
}
