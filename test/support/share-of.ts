/** What a plan mounts on the host, for tests of layers that go by the share. */
import type { RootfsLower, RootfsPlan } from "../../src/contracts/storage.ts";

/** Throws if the plan's layers do not go by the share. */
export function shareOf({ lower, containerId }: RootfsPlan): Extract<RootfsLower, { kind: "share" }> {
  if (lower?.kind === "share") return lower;
  throw new Error(`the layers of ${containerId} do not go by the share`);
}
