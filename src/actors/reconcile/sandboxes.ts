/**
 * The looks of the reconciler at sandboxes: ours against containerd's.
 *
 * containerd's store has a sandbox before Controller.Create, and until after Controller.Shutdown (internal/cri/server,
 * sandbox_run.go and sandbox_remove.go). One that it does not know any more would run for ever. One that only it knows is
 * its own business. Must not conclude anything while containerd cannot be asked.
 */
import type { SandboxStore } from "../../contracts/reconcile.ts";
import type { Found, Look } from "./found.ts";

/** Ours. */
export interface OwnSandboxes {
  ids(): readonly string[];
  status(id: string): { readonly createdAt: Date };
  shutdown(id: string): Promise<void>;
}

export interface SandboxLookPorts {
  readonly store: Pick<SandboxStore, "list">;
  readonly sandboxes: OwnSandboxes;
  /** This daemon's name in containerd's configuration. */
  readonly sandboxer: string;
  readonly now: () => number;
}

/** One that is younger may be in nobody's list yet. */
const YOUNG_MS = 60_000;

export function lookAtSandboxes({ store, sandboxes, sandboxer, now }: SandboxLookPorts): Look {
  return async () => {
    const listed = await store.list();
    const stored = new Set(listed.map(({ id }) => id));
    const ours = new Set(sandboxes.ids());
    const isOld = (id: string) => now() - sandboxes.status(id).createdAt.getTime() > YOUNG_MS;
    const forgotten = [...ours].filter((id) => !stored.has(id) && isOld(id));
    const unknown = listed.filter(({ id, sandboxer: owner }) => owner === sandboxer && !ours.has(id));
    return [
      ...forgotten.map((id) => forgottenOne(id, sandboxes)),
      ...unknown.map(({ id }): Found => {
        const text = `containerd has the sandbox ${id}, which this daemon does not know; remove its pod`;
        return { kind: "unknown", key: `unknown ${id}`, text, resource: undefined, action: "" };
      }),
    ];
  };
}

function forgottenOne(id: string, sandboxes: OwnSandboxes): Found {
  return {
    kind: "sandbox",
    key: `sandbox ${id}`,
    text: `sandbox ${id}, which containerd does not know any more`,
    resource: undefined,
    action: "ends it and removes all that it holds",
    remedy: () => sandboxes.shutdown(id),
  };
}
