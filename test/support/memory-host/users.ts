/**
 * The users that VMMs run as, of which a test can see who holds one.
 */
import { VmUsers } from "../../../src/actors/vm/users.ts";

/** Users for VMMs whose holders can be seen. */
export class CountedUsers extends VmUsers {
  private readonly held = new Set<number>();

  constructor() {
    super(1000, 100);
  }

  get inUse(): number[] {
    return [...this.held];
  }

  override take() {
    const user = super.take();
    this.held.add(user.uid);
    return user;
  }

  override release(user: { readonly uid: number; readonly gid: number }): void {
    super.release(user);
    this.held.delete(user.uid);
  }
}
