/**
 * Idmapped volumes: the guest's kernel cannot map a tmpfs, so what it is sent has its owners already.
 *
 * An id on the host is an id in the container's user namespace, as for an idmapped mount. The guest gets what that is outside
 * of the namespace. Pure.
 */
import { NOBODY, outsideOf, type UserNamespaceMaps } from "../../../contracts/id-maps.ts";
import type { VolumeOwner, VolumePlan } from "../../../contracts/volumes.ts";

/** The same with its owner in the guest. One that is not mapped is nobody. */
export function mappedOwner<Owned extends VolumeOwner>(
  owned: Owned,
  maps: UserNamespaceMaps | undefined,
): Owned {
  if (maps === undefined) return owned;
  const uid = outsideOf(maps.uids, owned.uid) ?? NOBODY;
  const gid = outsideOf(maps.gids, owned.gid) ?? NOBODY;
  return { ...owned, uid, gid };
}

/** The plan of an idmapped volume. It is another volume than the same source without maps. */
export function mappedPlan(plan: VolumePlan, maps: UserNamespaceMaps): VolumePlan {
  switch (plan.kind) {
    case "own":
      return plan;
    case "device":
      return mappedOwner(plan, maps);
    case "shared":
      return { ...plan, key: mappedKey(plan.key) };
    case "file":
      return { ...plan, key: mappedKey(plan.key), entry: mappedOwner(plan.entry, maps) };
    case "copied": {
      const entries = plan.entries.map((entry) => mappedOwner(entry, maps));
      return { ...plan, key: mappedKey(plan.key), entries };
    }
    case "memory": {
      const { key, root, owner } = plan;
      return { ...plan, key: mappedKey(key), root: mappedOwner(root, maps), owner: mappedOwner(owner, maps) };
    }
  }
}

function mappedKey(key: string): string {
  return `idmapped ${key}`;
}
