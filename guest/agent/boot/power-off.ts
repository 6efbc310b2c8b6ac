/**
 * The end of the machine: reboot(2), once the host has been told.
 */
import * as sys from "sys";
import type { AgentContext } from "../context.ts";
import type { Channel } from "../link/channel.ts";

/** From the last byte handed to the device to the host having read it; the daemon need not rely on it. */
const HOST_READS_WITHIN_MS = 5;

/** Powers the machine off after everything that was said, this request's answer included, is on its way. */
export function powerOff({ loop }: AgentContext, channel: Channel): void {
  // the answer is written when the request's promise has settled: not before the next pass
  loop.setTimer(HOST_READS_WITHIN_MS, () =>
    channel.whenFlushed(() => loop.setTimer(HOST_READS_WITHIN_MS, () => sys.reboot(sys.RB_POWER_OFF))),
  );
}
