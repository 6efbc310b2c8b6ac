/**
 * The maps of a user namespace: what they must be like (user_namespaces(7)), and what they make of an id.
 *
 * What an id inside is outside is also what an idmapped mount makes of an id on disk (mount_setattr(2)).
 */

/** So many ids from `containerId` on inside of a user namespace are those from `hostId` on outside. */
export interface IdMapping {
  containerId: number;
  hostId: number;
  size: number;
}

/** The maps of a user namespace: user_namespaces(7). */
export interface UserNamespaceMaps {
  uids: IdMapping[];
  gids: IdMapping[];
}

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

/** Whom files belong to whose owner is not mapped, and what a container sees then. */
export const NOBODY = 65_534;

/** What an id inside is outside; undefined if it is not mapped. */
export function outsideOf(mappings: readonly IdMapping[], id: number): number | undefined {
  for (const { containerId, hostId, size } of mappings)
    if (id >= containerId && id < containerId + size) return hostId + (id - containerId);
  return undefined;
}

/** What an id outside is inside; undefined if it is not mapped. */
export function insideOf(mappings: readonly IdMapping[], id: number): number | undefined {
  for (const { containerId, hostId, size } of mappings)
    if (id >= hostId && id < hostId + size) return containerId + (id - hostId);
  return undefined;
}

/** Whether two namespaces would have the same maps. */
export function sameMaps(one: UserNamespaceMaps, other: UserNamespaceMaps): boolean {
  return sameMap(one.uids, other.uids) && sameMap(one.gids, other.gids);
}

function sameMap(one: readonly IdMapping[], other: readonly IdMapping[]): boolean {
  const same = ({ containerId, hostId, size }: IdMapping, to: IdMapping | undefined) =>
    containerId === to?.containerId && hostId === to.hostId && size === to.size;
  return one.length === other.length && one.every((mapping, index) => same(mapping, other[index]));
}
