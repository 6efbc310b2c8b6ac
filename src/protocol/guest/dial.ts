/**
 * `network.dial`: the daemon has the agent connect to a server in the guest, for `kubectl port-forward`.
 *
 * The connection's bytes go both ways over one stream, with an end each way like TCP's FIN; a reset stands for TCP's RST.
 */
import { integer, object } from "../wire/json.ts";

/** Most bytes that an end of a connection's stream lets the other one be ahead. */
export const MAX_DIAL_WINDOW_BYTES = 1024 * 1024;

/** Connects to a TCP port of the guest's `localhost`. Fails with ConnectionRefused if nobody listens. */
export const networkDial = object({
  /** 4: 127.0.0.1 is tried before ::1. 6: the other way round. */
  family: integer(4, 6),
  port: integer(1, 65_535),
  /** The stream of the connection, which is open at the host already. */
  stream: integer(1, 0xffff_ffff),
  /** Bytes that each end lets the other one be ahead, and retains. */
  window: integer(1, MAX_DIAL_WINDOW_BYTES),
});
export type NetworkDial = ReturnType<typeof networkDial>;
