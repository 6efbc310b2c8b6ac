/**
 * Users for VMMs, one each: a VMM that is taken over by its guest can neither signal nor trace another one.
 *
 * Numbers come from a range that the operator keeps free of other users; the lowest free one is taken.
 */
import { blazarError } from "../../contracts/errors.ts";

export class UserPool {
  private readonly taken = new Set<number>();

  constructor(
    private readonly first: number,
    private readonly size: number,
  ) {}

  /** Throws ResourceExhausted. */
  take(): { uid: number; gid: number } {
    for (let id = this.first; id < this.first + this.size; id++) {
      if (this.taken.has(id)) continue;
      this.taken.add(id);
      return { uid: id, gid: id };
    }
    throw blazarError(
      "ResourceExhausted",
      "find a user for a VMM",
      `all ${this.size} from ${this.first} are in use`,
      { remedy: "raise vmm.users.count in the configuration" },
    );
  }

  release(user: { readonly uid: number }): void {
    this.taken.delete(user.uid);
  }
}
