/**
 * Whether a warm VM's guest is alive: it answers a ping in time.
 */
import type { GuestVm } from "../vm/guest-vm.ts";

/** A guest that is alive answers within a millisecond; one that is being paged in may take longer. */
const PING_MS = 500;

/** Never rejects. */
export async function answers({ link }: Pick<GuestVm, "link">): Promise<boolean> {
  try {
    await link?.request("ping", {}, { deadlineMs: PING_MS });
    return link !== undefined;
  } catch {
    return false;
  }
}
