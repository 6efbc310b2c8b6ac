/**
 * What a guest can have ready before there is a container: its first writable layer and an image, mounted, and
 * its first process, cloned and waiting.
 *
 * A guest that could not prepare is as good as one that could, only slower. So nothing here throws.
 */
import type { Deadlines } from "../../contracts/deadlines.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { GuestLink } from "./link.ts";

/** The file system of writable layers; set-up makes the empty one. */
const FILESYSTEM = "ext4";

/** What a preparation needs. */
export interface PreparationPorts {
  readonly logger: Logger;
  readonly deadlines: Pick<Deadlines, "guestRequest">;
}

type Guest = Pick<GuestLink, "request">;

/** Has the guest mount a disk that is plugged in. A failure is told once. */
export async function prepareDisk(
  guest: Guest,
  diskSerial: string,
  { deadlines, logger }: PreparationPorts,
  signal: AbortSignal,
): Promise<void> {
  const limits = { deadlineMs: deadlines.guestRequest, signal };
  try {
    await guest.request("disk.prepare", { diskSerial, filesystem: FILESYSTEM }, limits);
  } catch (error) {
    if (!signal.aborted) logger.warn({ err: error }, "the guest could not mount its prepared disk");
  }
}

/** Has the guest mount an image that is attached; it stays mounted. A failure is told once. */
export async function prepareImage(
  guest: Guest,
  serial: string,
  { deadlines, logger }: PreparationPorts,
  signal: AbortSignal,
): Promise<void> {
  try {
    await guest.request("image.prepare", { serial }, { deadlineMs: deadlines.guestRequest, signal });
  } catch (error) {
    if (!signal.aborted) logger.warn({ err: error }, "the guest could not mount an image ahead");
  }
}

/** Has the agent clone a child, which becomes the first container's first process. A failure is told once. */
export async function prepareChild(
  guest: Guest,
  { deadlines, logger }: PreparationPorts,
  signal: AbortSignal,
): Promise<void> {
  try {
    await guest.request("child.prepare", {}, { deadlineMs: deadlines.guestRequest, signal });
  } catch (error) {
    if (!signal.aborted) logger.warn({ err: error }, "the guest could not prepare a child");
  }
}
