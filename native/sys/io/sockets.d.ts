/**
 * Stream sockets, and descriptors sent over them: unix(7), vsock(7), tcp(7) (sockets.c).
 */

declare module "sys" {
  /** A non-blocking listening unix stream socket whose file has exactly `mode`. An existing file is -EADDRINUSE. */
  export function unixListen(path: string, mode: number, backlog: number): Descriptor;
  /** A non-blocking connected unix stream socket; -EAGAIN when the listener's backlog is full. */
  export function unixConnect(path: string): Descriptor;
  /** accept4(2): a non-blocking connection. */
  export function accept4(listener: number): Descriptor;
  /** SO_PEERCRED. */
  export function peerCredentials(fd: number): { pid: number; uid: number; gid: number } | Failure;
  /** shutdown(2): 0 reading, 1 writing, 2 both. */
  export function shutdown(fd: number, how: number): Result;
  /** socketpair(2) of unix stream sockets, blocking unless `O_NONBLOCK`. */
  export function socketpair(flags: number): [number, number] | Failure;
  /** SO_RCVTIMEO: a blocking read gives -EAGAIN after so many milliseconds; 0 = it waits for ever. */
  export function receiveTimeout(fd: number, milliseconds: number): Result;
  /** SO_ERROR: the pending error as a positive errno, 0 for none. */
  export function socketError(fd: number): Result;
  /** sendmsg(2) of bytes (at least one) and descriptors (SCM_RIGHTS, at most 32). */
  export function sendFds(
    socket: number,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
    fds: readonly number[],
  ): Result;
  /** recvmsg(2): [bytes, ...descriptors]; bytes 0 is the end. More than 32 descriptors are closed and give -EMSGSIZE. */
  export function recvFds(
    socket: number,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
  ): number[] | Failure;
  /** A non-blocking listening vsock(7) stream socket on any CID. */
  export function vsockListen(port: number, backlog: number): Descriptor;
  /** A non-blocking vsock(7) stream socket that is connecting. Wait until it is writable, then ask `socketError`. */
  export function vsockConnect(cid: number, port: number): Descriptor;
  /** The same over TCP to 127.0.0.1 (version 4) or ::1 (6), without delays (TCP_NODELAY). May say -ECONNREFUSED at once. */
  export function loopbackConnect(version: number, port: number): Descriptor;
  /** Resets a TCP connection now, whoever else has a copy of its descriptor (AF_UNSPEC of connect(2)). */
  export function tcpReset(fd: number): Result;
}
