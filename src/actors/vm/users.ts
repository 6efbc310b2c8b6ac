/**
 * Users for VMMs, one each: a VMM that is taken over by its guest can neither signal nor trace another one.
 *
 * Numbers come from a range that the operator keeps free of other users; the lowest free one is taken.
 */
import { blazarError } from "../../contracts/errors.ts";

/** User and group of a VMM. */
export interface VmUser {
  readonly uid: number;
  readonly gid: number;
}

export class VmUsers {
  private readonly taken = new Set<number>();

  constructor(
    private readonly first: number,
    private readonly size: number,
  ) {}

  /** Throws ResourceExhausted. */
  take(): VmUser {
    for (let id = this.first; id < this.first + this.size; id++) {
      if (this.taken.has(id)) continue;
      this.taken.add(id);
      return { uid: id, gid: id };
    }
    const reason = `all ${this.size} from ${this.first} are in use`;
    const remedy = "raise vmm.uid_count in the configuration";
    throw blazarError("ResourceExhausted", "find a user for a VMM", reason, { remedy });
  }

  /** An earlier daemon has taken it. */
  claim(user: VmUser): void {
    this.taken.add(user.uid);
  }

  release(user: VmUser): void {
    this.taken.delete(user.uid);
  }
}
