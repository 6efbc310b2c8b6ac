/**
 * Reconcile of the inspection socket, both ways: from the call to the port Reconciling, and back to its words.
 */
import type { handleUnaryCall } from "@grpc/grpc-js";
import { blazarError } from "../../contracts/errors.ts";
import type { Difference, Reconciliation, Reconciling } from "../../contracts/reconcile.ts";
import type { ReconcileRequest, ReconcileResponse } from "../generated/blazar/inspection/v1/inspection.ts";
import { toServiceError } from "../status.ts";

export type ReconcileHandler = handleUnaryCall<ReconcileRequest, ReconcileResponse>;

export function createReconcileHandler(reconciling: Reconciling): ReconcileHandler {
  return (call, callback) => {
    reconciling.reconcile(call.request.fix).then(
      ({ differences, unknown }) => callback(null, { differences: [...differences], unknown: [...unknown] }),
      (error: unknown) => callback(toServiceError(error)),
    );
  };
}

/** For a daemon that is asked by a test, without a reconciler. */
export const NO_RECONCILER: ReconcileHandler = createReconcileHandler({
  reconcile: () =>
    Promise.reject(
      blazarError("Unimplemented", "compare the host with the journals", "this daemon does not offer it"),
    ),
});

const STATES: readonly string[] = ["new", "confirmed", "done", "failed"] satisfies Difference["state"][];

/** A state that this client does not know counts as one that was seen. */
export function reconciliationFromWire({ differences, unknown }: ReconcileResponse): Reconciliation {
  const stateOf = (text: string) => (STATES.includes(text) ? (text as Difference["state"]) : "confirmed");
  return { differences: differences.map((each) => ({ ...each, state: stateOf(each.state) })), unknown };
}
