/**
 * A disk that a VM has before it has a container: the first one's writable layer, mounted ahead by the guest.
 *
 * A disk that the guest cannot prepare is as good as one that is plugged in for its container, only slower.
 */
import type { Deadlines } from "../../contracts/deadlines.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { GuestLink } from "./link.ts";

/** What of writable layers set-up makes. */
const FILESYSTEM = "ext4";

/** Never throws: what went wrong is told once. */
export async function prepareSpare(
  guest: Pick<GuestLink, "request">,
  diskSerial: string,
  host: { readonly logger: Logger; readonly deadlines: Pick<Deadlines, "guestRequest"> },
  signal: AbortSignal,
): Promise<void> {
  const limits = { deadlineMs: host.deadlines.guestRequest, signal };
  try {
    await guest.request("disk.prepare", { diskSerial, filesystem: FILESYSTEM }, limits);
  } catch (error) {
    if (!signal.aborted) host.logger.warn({ err: error }, "the guest could not prepare its spare disk");
  }
}
