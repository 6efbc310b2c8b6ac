/**
 * Powers the machine off (reboot(2)), once the host has been answered.
 */
import * as sys from "sys";
import type { AgentContext } from "../context.ts";
import type { Channel } from "../link/channel.ts";

/** How long the host takes to read the last byte that the device was given. The daemon does not rely on it. */
const HOST_READS_WITHIN_MS = 5;

/** Powers the machine off once all frames are written, the answer to this request included. */
export function powerOff({ loop }: AgentContext, channel: Channel): void {
  // the answer is written after the request's promise has settled, so not before the next pass
  loop.setTimer(HOST_READS_WITHIN_MS, () =>
    channel.whenFlushed(() => loop.setTimer(HOST_READS_WITHIN_MS, () => sys.reboot(sys.RB_POWER_OFF))),
  );
}
