/**
 * What the maps of a user namespace must be like: user_namespaces(7), and what a container needs of them.
 */
import type { IdMapping } from "./sandbox.ts";

/** What the kernel takes. */
export const MAX_ID_MAPPINGS = 340;
/** The last id of 32 bits stands for none. */
const IDS = 0xffff_ffff;

/** Why these cannot be the maps of a container's user namespace; undefined if they can. */
export function mapsProblem(mappings: readonly IdMapping[]): string | undefined {
  if (mappings.length === 0) return "no id is mapped";
  if (mappings.length > MAX_ID_MAPPINGS)
    return `${mappings.length} mappings are more than ${MAX_ID_MAPPINGS}`;
  for (const { containerId, hostId, size } of mappings) {
    const wrong = size < 1 || containerId + size > IDS || hostId + size > IDS;
    if (wrong) return `the mapping ${containerId}:${hostId}:${size} is out of range`;
  }
  for (const side of ["containerId", "hostId"] as const) {
    const sorted = [...mappings].sort((a, b) => a[side] - b[side]);
    const overlap = sorted.find((each, index) => each[side] + each.size > (sorted[index + 1]?.[side] ?? IDS));
    if (overlap !== undefined) return `the mappings from ${overlap[side]} on overlap`;
  }
  return mappings.some(({ containerId }) => containerId === 0) ? undefined : "id 0 is not mapped";
}
