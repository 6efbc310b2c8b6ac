/**
 * A socket in a pod's network namespace that gets every TCP connection to `localhost` there: tcp(7), BPF_SK_LOOKUP.
 *
 * It is bound to the loopback address, so no other one reaches it. The address that a connection was dialled at is its
 * local address. Both descriptors are the process's; the socket's end is the end of everything. For workers only.
 */
import { constants as osConstants } from "node:os";
import { type BlazarError, blazarError, type ErrorCode } from "../../contracts/errors.ts";
import { AF_INET, AF_INET6 } from "../../protocol/netlink/constants.ts";
import { closeDescriptor, describeErrno, libc, valueOr } from "../libc/libc.ts";
import {
  makeSocket,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  setSocketOption,
} from "../libc/socket-calls.ts";
import { NetworkNamespace } from "../network/namespaces.ts";
import { attachLookupProgram, loadLookupProgram, putSocket, socketMap } from "./bpf.ts";
import { steeringProgram } from "./steering-program.ts";

/** Two descriptors of the process. Closing either ends the forwarding; the link holds nothing but the program. */
export interface LoopbackListener {
  /** Listens, non-blocking. */
  readonly socket: number;
  /** Steers connections to it. */
  readonly link: number;
}

const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const { EAFNOSUPPORT, EPERM, EACCES, EINVAL, ENOSYS, EOPNOTSUPP } = osConstants.errno;
/** What bpf(2) answers where the kernel has no such thing, or does not allow it. */
const UNABLE: ReadonlySet<number> = new Set([EPERM, EACCES, EINVAL, ENOSYS, EOPNOTSUPP]);
/** More than 100 connections at once; the kernel cuts it to net.core.somaxconn. */
const BACKLOG = 1024;
/** 127.0.0.1 and ::ffff:127.0.0.1 with any port, as struct sockaddr_in and sockaddr_in6. */
const LOOPBACK_4 = address(16, AF_INET, 4, [127, 0, 0, 1]);
const LOOPBACK_4_IN_6 = address(28, AF_INET6, 18, [0xff, 0xff, 127, 0, 0, 1]);
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const IFF_UP = 1;
/** sizeof(struct ifreq), and where its flags are. */
const IFREQ_BYTES = 40;
const IFREQ_FLAGS = 16;

const cBind = libc.func("int bind(int socket, const uint8_t *address, uint32_t length)");
const cListen = libc.func("int listen(int socket, int backlog)");
const cIoctl = libc.func("int ioctl(int fd, unsigned long request, _Inout_ uint8_t *argument)");

const OPERATION = "take connections to localhost";

/** Throws HostResource, or DependencyMissing where the kernel cannot steer connections. */
export function takeLocalhost(path: string): LoopbackListener {
  const made: number[] = [];
  const namespace = NetworkNamespace.open(path);
  try {
    if (namespace.isOwn) throw blazarError("HostResource", OPERATION, "it is the host's own namespace");
    const socket = namespace.run(() => listen((fd) => made.push(fd)));
    return { socket, link: steer(socket, namespace.fd) };
  } catch (error) {
    for (const fd of made) closeDescriptor(fd);
    throw error;
  } finally {
    namespace.close();
  }
}

function listen(keep: (fd: number) => void): number {
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  // one socket for both families; a kernel without IPv6 has no such socket
  let fd = makeSocket(AF_INET6, type, 0);
  const six = fd !== -EAFNOSUPPORT;
  if (!six) fd = makeSocket(AF_INET, type, 0);
  keep(done("make a socket", fd));
  bringLoopbackUp(fd);
  const off = Buffer.alloc(4);
  if (six) done("open the socket to IPv4", setSocketOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, off));
  const own = six ? LOOPBACK_4_IN_6 : LOOPBACK_4;
  done("bind to 127.0.0.1", valueOr(cBind(fd, own, own.length)));
  done("listen", valueOr(cListen(fd, BACKLOG)));
  return fd;
}

/** CNI's loopback plugin does it as a rule. The kernel gives it its addresses then. */
function bringLoopbackUp(socket: number): void {
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write("lo");
  done("look at lo", valueOr(cIoctl(socket, SIOCGIFFLAGS, request)));
  const flags = request.readInt16LE(IFREQ_FLAGS);
  if ((flags & IFF_UP) !== 0) return;
  request.writeInt16LE(flags | IFF_UP, IFREQ_FLAGS);
  done("bring lo up", valueOr(cIoctl(socket, SIOCSIFFLAGS, request)));
}

/** The link keeps the program, the program the map; the map does not keep the socket. */
function steer(socket: number, namespace: number): number {
  const made: number[] = [];
  try {
    const map = steered("make a map of sockets", socketMap(), made);
    steered("put a socket into a map", putSocket(map, socket), []);
    const program = steered(
      "load a program of type sk_lookup",
      loadLookupProgram(steeringProgram(map)),
      made,
    );
    return steered("attach it to a network namespace", attachLookupProgram(program, namespace), []);
  } finally {
    for (const fd of made) closeDescriptor(fd);
  }
}

function steered(what: string, result: number, made: number[]): number {
  if (result < 0) throw failure(UNABLE.has(-result) ? "DependencyMissing" : "HostResource", what, result);
  made.push(result);
  return result;
}

function done(what: string, result: number): number {
  if (result < 0) throw failure("HostResource", what, result);
  return result;
}

function failure(code: ErrorCode, what: string, result: number): BlazarError {
  const remedy =
    code === "DependencyMissing"
      ? "it takes Linux 5.9 or newer with CONFIG_BPF_SYSCALL, and CAP_BPF and CAP_NET_ADMIN"
      : undefined;
  return blazarError(code, OPERATION, `the kernel could not ${what}: ${describeErrno(-result)}`, { remedy });
}

function address(bytes: number, family: number, at: number, host: readonly number[]): Buffer {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUInt16LE(family, 0);
  buffer.set(host, at);
  return buffer;
}
