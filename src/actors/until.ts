/**
 * Waits for a snapshot of an actor: how calls that want an answer meet charts that only take events.
 */
import type { AnyActorRef, SnapshotFrom } from "xstate";
import { blazarError } from "../contracts/errors.ts";

/**
 * Resolves with the first snapshot, the present one included, for which `reached` holds, or with the last one
 * if the actor ends before. Rejects with Cancelled when `signal` aborts.
 */
export function until<Actor extends AnyActorRef>(
  actor: Actor,
  reached: (snapshot: SnapshotFrom<Actor>) => boolean,
  signal?: AbortSignal,
): Promise<SnapshotFrom<Actor>> {
  return new Promise((resolve, reject) => {
    let settled = false;
    const finish = (act: () => void) => {
      if (settled) return;
      settled = true;
      subscription?.unsubscribe();
      signal?.removeEventListener("abort", abort);
      act();
    };
    const look = () => {
      const snapshot: SnapshotFrom<Actor> = actor.getSnapshot();
      const ended = (snapshot as { status: string }).status !== "active";
      if (ended || reached(snapshot)) finish(() => resolve(snapshot));
    };
    const abort = () =>
      finish(() =>
        reject(blazarError("Cancelled", "wait", "the caller has given up", { subject: actor.id })),
      );
    let subscription: { unsubscribe(): void } | undefined;
    if (signal?.aborted) return abort();
    look();
    if (settled) return;
    signal?.addEventListener("abort", abort, { once: true });
    subscription = actor.subscribe({ next: look, complete: look, error: look });
  });
}
