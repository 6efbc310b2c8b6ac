/**
 * A netlink socket of the network namespace that the thread is in when it is opened: netlink(7), by koffi.
 *
 * It stays with that namespace wherever the thread goes. It blocks, and gives up after a while: the kernel answers at once,
 * or never. For workers only; see libc.ts.
 */
import { blazarError } from "../../contracts/errors.ts";
import {
  AF_NETLINK,
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NETLINK_GET_STRICT_CHK,
  NETLINK_ROUTE,
  SOL_NETLINK,
} from "../../protocol/netlink/constants.ts";
import { DATAGRAM_BYTES, type NetlinkSocket } from "../../protocol/netlink/exchange.ts";
import { closeDescriptor, libc, systemError, valueOr } from "../libc/libc.ts";
import { makeSocket, SOCK_CLOEXEC, SOCK_RAW, SOL_SOCKET, setSocketOption } from "../libc/socket-calls.ts";

const SO_RCVTIMEO = 20;
/** Longer than the kernel holds its lock for other work, such as a namespace that is taken down. */
const PATIENCE_SECONDS = 20n;

const ASKING = "ask the kernel about its network";

const cSend = libc.func("int64_t send(int fd, const uint8_t *bytes, size_t length, int flags)");
const cRecv = libc.func("int64_t recv(int fd, _Out_ uint8_t *bytes, size_t length, int flags)");

/** Used by one conversation at a time: a thread has one. */
const buffer = new Uint8Array(DATAGRAM_BYTES);

export class RouteSocket implements NetlinkSocket {
  private constructor(private readonly fd: number) {}

  /** Throws HostResource. */
  static open(): RouteSocket {
    const fd = makeSocket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) throw failure("open a netlink socket", fd);
    const one = new Uint8Array([1, 0, 0, 0]);
    // older kernels know fewer of them; everything works without
    for (const option of [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK])
      setSocketOption(fd, SOL_NETLINK, option, one);
    const patience = new BigInt64Array([PATIENCE_SECONDS, 0n]);
    setSocketOption(fd, SOL_SOCKET, SO_RCVTIMEO, new Uint8Array(patience.buffer));
    return new RouteSocket(fd);
  }

  send(bytes: Uint8Array): void {
    const sent = valueOr(Number(cSend(this.fd, bytes, bytes.length, 0)));
    if (sent < 0) throw failure(ASKING, sent);
  }

  /**
   * As {@link send}, on a thread of libuv's: a socket stays with its namespace, whichever thread uses it. Nobody else may use
   * the socket meanwhile.
   */
  sendLater(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      cSend.async(this.fd, bytes, bytes.length, 0, (error: unknown, sent: unknown) => {
        if (error === null && Number(sent) >= 0) resolve();
        else
          reject(
            blazarError("HostResource", ASKING, "the message was not taken", { cause: error ?? undefined }),
          );
      });
    });
  }

  receive(): Uint8Array {
    const length = valueOr(Number(cRecv(this.fd, buffer, buffer.length, 0)));
    if (length < 0) throw failure("hear what the kernel says of its network", length);
    return buffer.subarray(0, length);
  }

  close(): void {
    closeDescriptor(this.fd);
  }
}

function failure(operation: string, negative: number): Error {
  return systemError("HostResource", -negative, { operation });
}
