/**
 * Which standard streams a process may have: FIFOs by their absolute paths, or none.
 *
 * containerd's CRI has two kinds of them (internal/cri/io). The other one, `io_type = 'streaming'` of a runtime handler, has
 * addresses such as `ttrpc+unix:///run/x.sock?streaming_id=…`: streams would end with the connection, while FIFOs live in the keeper.
 */
import { blazarError } from "../../contracts/errors.ts";

interface Streams {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
}

/** @throws BlazarError `InvalidSpec` for anything that is no FIFO's path */
export function checkStreams({ stdin, stdout, stderr }: Streams, operation: string, subject: string): void {
  for (const [name, place] of Object.entries({ stdin, stdout, stderr })) {
    if (place === "" || place.startsWith("/")) continue;
    const shown = place.length > 120 ? `${place.slice(0, 120)}…` : place;
    const reason = `${name} is ${JSON.stringify(shown)}, and can only be a FIFO`;
    const remedy =
      "set io_type = 'fifo' for the runtime handler in containerd's configuration, or leave io_type out";
    throw blazarError("InvalidSpec", operation, reason, { subject, remedy });
  }
}
