/**
 * Making a socket and setting its options, by koffi: socket(2), setsockopt(2). For workers only; see libc.ts.
 *
 * Constants are those of Linux. A result is a descriptor or 0, or a negative errno.
 */
import { libc, valueOr } from "./libc.ts";

export const SOCK_STREAM = 1;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;

const cSocket = libc.func("int socket(int family, int type, int protocol)");
const cSetsockopt = libc.func(
  "int setsockopt(int socket, int level, int name, const uint8_t *value, uint32_t length)",
);

export function makeSocket(family: number, type: number, protocol: number): number {
  return valueOr(cSocket(family, type, protocol));
}

export function setSocketOption(socket: number, level: number, name: number, value: Uint8Array): number {
  return valueOr(cSetsockopt(socket, level, name, value, value.length));
}
