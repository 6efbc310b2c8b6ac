/**
 * Sockets of a test in a network namespace.
 *
 * A socket belongs to the namespace in which it was made, wherever the thread goes: this thread enters, makes a socket, and
 * comes back. Needs root.
 */
import { closeSync, openSync } from "node:fs";
import net from "node:net";
import koffi from "koffi";

const CLONE_NEWNET = 0x4000_0000;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const AF_INET = 2;
const AF_INET6 = 10;
const BACKLOG = 16;

const libc = koffi.load(null);
const setns = libc.func("int setns(int fd, int type)");
const makeSocket = libc.func("int socket(int family, int type, int protocol)");
const connect = libc.func("int connect(int socket, const uint8_t *address, uint32_t length)");
const bind = libc.func("int bind(int socket, const uint8_t *address, uint32_t length)");
const listen = libc.func("int listen(int socket, int backlog)");
const close = libc.func("int close(int fd)");

/** Connects to an address in the namespace at this path, as containerd does; undefined if that is refused. */
export function dialIn(netns: string, address: string, port: number): net.Socket | undefined {
  const fd = within(netns, () => socketAt(address, port, connect));
  return fd === undefined ? undefined : new net.Socket({ fd, allowHalfOpen: true });
}

/** A server in the namespace at this path, at an IPv4 address. */
export async function serveIn(
  netns: string,
  address: string,
  port: number,
  onConnection: (socket: net.Socket) => void,
): Promise<net.Server> {
  const fd = within(netns, () => socketAt(address, port, bind));
  if (fd === undefined || listen(fd, BACKLOG) !== 0)
    throw new Error(`${address}:${port} cannot be listened on`);
  const server = net.createServer(onConnection);
  await new Promise<void>((resolve) => server.listen({ fd }, resolve));
  return server;
}

/** `work` makes sockets, and waits for nothing. */
function within<T>(netns: string, work: () => T): T {
  const home = openSync("/proc/thread-self/ns/net", "r");
  const there = openSync(netns, "r");
  try {
    if (setns(there, CLONE_NEWNET) !== 0) throw new Error(`setns: errno ${koffi.errno()}`);
    return work();
  } finally {
    if (setns(home, CLONE_NEWNET) !== 0) process.abort();
    closeSync(there);
    closeSync(home);
  }
}

/** A socket that is connected or bound there; undefined if that fails. */
function socketAt(
  address: string,
  port: number,
  put: (socket: number, address: Buffer, length: number) => number,
): number | undefined {
  const fd = makeSocket(net.isIPv6(address) ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const where = socketAddress(address, port);
  if (put(fd, where, where.length) === 0) return fd;
  close(fd);
  return undefined;
}

/** struct sockaddr_in or sockaddr_in6; of IPv6 only ::1. */
function socketAddress(address: string, port: number): Buffer {
  const six = net.isIPv6(address);
  const bytes = Buffer.alloc(six ? 28 : 16);
  bytes.writeUInt16LE(six ? AF_INET6 : AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  if (six) bytes[23] = 1;
  else bytes.set(address.split(".").map(Number), 4);
  return bytes;
}
