/**
 * A forwarded port of a CRI PortForward, over a WebSocket with the subprotocol v4.channel.k8s.io.
 *
 * Channel 0 is the connection, channel 1 the reason why there is none; each begins with the port, two bytes, little
 * endian. The subprotocol cannot end one direction alone.
 */
import { once } from "node:events";
import WebSocket from "ws";
import { blazarError, reasonOf } from "../../src/contracts/errors.ts";
import { patient } from "../host/patience.ts";
import type { Dial } from "./streaming.ts";

const SUBPROTOCOL = "v4.channel.k8s.io";
const DATA = 0;
const FAILURE = 1;
const PORT_BYTES = 2;
const TIMEOUT_MS = 30_000;

/** One connection to a port of a pod. */
export class ForwardedPort {
  private readonly received: [Buffer, Buffer] = [Buffer.alloc(0), Buffer.alloc(0)];
  private ended = false;

  private constructor(private readonly socket: WebSocket) {
    socket.on("message", (message: Buffer) => {
      const channel = message[0];
      if (channel === DATA || channel === FAILURE)
        this.received[channel] = Buffer.concat([this.received[channel], message.subarray(1)]);
    });
    socket.on("error", () => undefined);
    socket.once("close", () => {
      this.ended = true;
    });
  }

  /** @param url as PortForward returned it for one port */
  static async open(url: string, port: number, dial?: Dial): Promise<ForwardedPort> {
    const address = `${url.replace(/^http/, "ws")}?port=${port}`;
    const socket = new WebSocket(address, [SUBPROTOCOL], {
      perMessageDeflate: false,
      handshakeTimeout: patient(TIMEOUT_MS),
      ...(dial === undefined ? {} : { createConnection: dial as never }),
    });
    const forwarded = new ForwardedPort(socket);
    try {
      await once(socket, "open");
    } catch (cause) {
      throw blazarError("RemoteUnavailable", "forward a port", reasonOf(cause), { subject: url, cause });
    }
    return forwarded;
  }

  write(data: string): void {
    this.socket.send(Buffer.concat([Buffer.of(DATA), Buffer.from(data)]));
  }

  /** What has come, as soon as it ends with a line's end; or `failed: …`, or `closed`. */
  async line(): Promise<string> {
    const deadline = performance.now() + patient(TIMEOUT_MS);
    for (;;) {
      const [data, failure] = this.received.map((each) => each.subarray(PORT_BYTES).toString());
      if (data?.endsWith("\n") === true) return data.trimEnd();
      if (this.ended && failure !== "") return `failed: ${failure}`;
      if (this.ended) return "closed";
      const left = Math.ceil(deadline - performance.now());
      if (left <= 0) return "nothing came";
      await Promise.race([
        once(this.socket, "message", { signal: AbortSignal.timeout(left) }).catch(() => undefined),
        once(this.socket, "close", { signal: AbortSignal.timeout(left) }).catch(() => undefined),
      ]);
    }
  }

  close(): void {
    this.socket.terminate();
  }
}
