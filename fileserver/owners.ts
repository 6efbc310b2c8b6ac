/**
 * Whose files are: ids on the host, and what the guest's kernel takes them for.
 *
 * A pod with a user namespace has idmapped volumes: an id on the host is an id in that namespace, and the guest's kernel
 * sees what it is outside. Its FUSE cannot be idmapped, so the server does it. What is not mapped is as the kernel has it
 * (mount_setattr(2)): nobody's to look at, and EOVERFLOW where it would be written.
 */
import {
  type IdMapping,
  insideOf,
  NOBODY,
  outsideOf,
  type UserNamespaceMaps,
} from "../src/contracts/id-maps.ts";

/** Users, or groups. */
export class Ids {
  /** @param mappings undefined: the guest has the host's ids */
  constructor(private readonly mappings: readonly IdMapping[] | undefined) {}

  /** What the guest is told. */
  toGuest(id: number): number {
    return this.mappings === undefined ? id : (outsideOf(this.mappings, id) ?? NOBODY);
  }

  /** What the guest means; -1 if it can mean nobody. */
  toHost(id: number): number {
    return this.mappings === undefined ? id : (insideOf(this.mappings, id) ?? -1);
  }
}

/** Tags of entries that have an id: acl(5). */
const ACL_USER = 0x02;
const ACL_GROUP = 0x08;
const ACL_HEADER_BYTES = 4;
const ACL_ENTRY_BYTES = 8;
const ACCESS_LIST = /^system\.posix_acl_(access|default)$/;
/** It may name a root user, and means another one without. */
const CAPABILITIES = "security.capability";

export class Owners {
  readonly uids: Ids;
  readonly gids: Ids;
  /** The guest's ids are not the host's. */
  private readonly areMapped: boolean;

  constructor(maps: UserNamespaceMaps | undefined) {
    this.uids = new Ids(maps?.uids);
    this.gids = new Ids(maps?.gids);
    this.areMapped = maps !== undefined;
  }

  /** Whether somebody may own a file. */
  canOwn({ uid, gid }: { readonly uid: number; readonly gid: number }): boolean {
    return this.uids.toHost(uid) >= 0 && this.gids.toHost(gid) >= 0;
  }

  /** Whether an attribute can be told and set: none that means another thing to the guest. */
  canHave(attribute: string): boolean {
    return !this.areMapped || attribute !== CAPABILITIES;
  }

  /** Changes the ids in an access list in place. False, with some of it changed, if one of them is nobody's. */
  mapList(attribute: string, list: DataView, towards: "toGuest" | "toHost"): boolean {
    if (!this.areMapped || !ACCESS_LIST.test(attribute)) return true;
    const last = list.byteLength - ACL_ENTRY_BYTES;
    for (let at = ACL_HEADER_BYTES; at <= last; at += ACL_ENTRY_BYTES) {
      const tag = list.getUint16(at, true);
      if (tag !== ACL_USER && tag !== ACL_GROUP) continue;
      const ids = tag === ACL_USER ? this.uids : this.gids;
      const id = ids[towards](list.getUint32(at + 4, true));
      if (id < 0) return false;
      list.setUint32(at + 4, id, true);
    }
    return true;
  }
}
