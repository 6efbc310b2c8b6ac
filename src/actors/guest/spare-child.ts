/**
 * A child of the guest's agent that is forked before there is a container: it becomes the first one's first process.
 *
 * A guest without one forks when its container comes, which is as good, only slower.
 */
import type { Deadlines } from "../../contracts/deadlines.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { GuestLink } from "./link.ts";

/** Never throws: what went wrong is told once. */
export async function prepareChild(
  guest: Pick<GuestLink, "request">,
  host: { readonly logger: Logger; readonly deadlines: Pick<Deadlines, "guestRequest"> },
  signal: AbortSignal,
): Promise<void> {
  try {
    await guest.request("child.prepare", {}, { deadlineMs: host.deadlines.guestRequest, signal });
  } catch (error) {
    if (!signal.aborted) host.logger.warn({ err: error }, "the guest could not prepare a child");
  }
}
