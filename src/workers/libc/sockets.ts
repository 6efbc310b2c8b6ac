/**
 * Socket calls that Node does not offer, by koffi: connect(2) without an event loop, sendmsg(2) with a descriptor, poll(2).
 *
 * The structures are those of Linux on 64-bit hosts. For workers only; see libc.ts.
 */
import koffi from "koffi";
import { closeDescriptor, libc, valueOr } from "./libc.ts";
import { makeSocket, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET } from "./socket-calls.ts";

const AF_UNIX = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const POLLOUT = 4;
/** A control message (cmsg(3)) with one descriptor: length, level, type, the descriptor; then padding. */
const CONTROL_BYTES = 24;
const CONTROL_LENGTH = 20;
/** sizeof(struct sockaddr_un), and where its path starts. */
const ADDRESS_BYTES = 110;
const ADDRESS_PATH = 2;
const ENAMETOOLONG = 36;

const IoVector = koffi.struct("BlazarIoVector", { base: "uint8_t *", length: "size_t" });
koffi.struct("BlazarMessage", {
  name: "void *",
  nameLength: "uint32_t",
  vectors: koffi.pointer(IoVector),
  vectorCount: "size_t",
  control: "uint8_t *",
  controlLength: "size_t",
  flags: "int",
});
koffi.struct("BlazarPoll", { fd: "int", events: "short", revents: "short" });
const cConnect = libc.func("int connect(int socket, const uint8_t *address, uint32_t length)");
const cSendmsg = libc.func("int64_t sendmsg(int socket, const BlazarMessage *message, int flags)");
const cPoll = libc.func("int poll(BlazarPoll *fds, unsigned long count, int milliseconds)");

/** A connection to a unix stream socket, non-blocking; or a negative errno. */
export function connectSocket(path: string): number {
  const address = Buffer.alloc(ADDRESS_BYTES);
  address.writeUInt16LE(AF_UNIX, 0);
  if (Buffer.byteLength(path) >= ADDRESS_BYTES - ADDRESS_PATH) return -ENAMETOOLONG;
  address.write(path, ADDRESS_PATH);
  const fd = makeSocket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fd;
  const connected = valueOr(cConnect(fd, address, address.length));
  if (connected >= 0) return fd;
  closeDescriptor(fd);
  return connected;
}

/** Sends bytes, and a descriptor with the first of them. Does not wait. Returns the bytes sent or a negative errno. */
export function sendBytes(socket: number, bytes: Uint8Array, descriptor: number | undefined): number {
  const control = descriptor === undefined ? null : rights(descriptor);
  const message = {
    name: null,
    nameLength: 0,
    vectors: { base: bytes, length: bytes.length },
    vectorCount: 1,
    control,
    controlLength: control === null ? 0 : CONTROL_BYTES,
    flags: 0,
  };
  return valueOr(Number(cSendmsg(socket, message, MSG_DONTWAIT | MSG_NOSIGNAL)));
}

function rights(descriptor: number): Uint8Array {
  const control = new DataView(new ArrayBuffer(CONTROL_BYTES));
  control.setBigUint64(0, BigInt(CONTROL_LENGTH), true);
  control.setInt32(8, SOL_SOCKET, true);
  control.setInt32(12, SCM_RIGHTS, true);
  control.setInt32(16, descriptor, true);
  return new Uint8Array(control.buffer);
}

/** False if the descriptor could not be written to for so long. */
export function waitWritable(fd: number, milliseconds: number): boolean {
  return cPoll({ fd, events: POLLOUT, revents: 0 }, 1, milliseconds) > 0;
}
