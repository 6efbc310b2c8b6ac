/**
 * A netlink socket of the network namespace that the agent is in: netlink(7), rtnetlink(7).
 *
 * It blocks: the kernel answers within the call that asks, so there is nothing to wait for.
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import { NETLINK_ROUTE } from "../../../src/protocol/netlink/constants.ts";
import {
  DATAGRAM_BYTES,
  NetlinkExchange,
  type NetlinkSocket,
} from "../../../src/protocol/netlink/exchange.ts";

const OPERATION = "talk to the kernel's network";

/** Opens a socket for as long as `use` takes. */
export function withNetlink<T>(use: (exchange: NetlinkExchange) => T): T {
  const fd = check(sys.netlinkOpen(NETLINK_ROUTE), "open a netlink socket");
  try {
    return use(new NetlinkExchange(new AgentNetlinkSocket(fd)));
  } finally {
    sys.close(fd);
  }
}

class AgentNetlinkSocket implements NetlinkSocket {
  private buffer: Uint8Array | undefined;

  constructor(private readonly fd: number) {}

  send(bytes: Uint8Array): void {
    check(sys.write(this.fd, bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength), OPERATION);
  }

  receive(): Uint8Array {
    this.buffer ??= new Uint8Array(DATAGRAM_BYTES);
    const length = check(sys.read(this.fd, this.buffer.buffer as ArrayBuffer, 0, DATAGRAM_BYTES), OPERATION);
    return this.buffer.subarray(0, length);
  }
}
