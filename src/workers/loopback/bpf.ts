/**
 * bpf(2) by koffi, as far as steering connections needs it: a map of sockets, a program, and its link to a namespace.
 *
 * Structures are `union bpf_attr` of linux/bpf.h, on 64-bit hosts. For workers only; see libc.ts.
 */
import koffi from "koffi";
import { libc, valueOr } from "../libc/libc.ts";

const SYS_BPF: Partial<Record<NodeJS.Architecture, number>> = { x64: 321, arm64: 280 };
const ENOSYS = 38;

const MAP_CREATE = 0;
const MAP_UPDATE_ELEM = 2;
const PROG_LOAD = 5;
const LINK_CREATE = 28;
const MAP_TYPE_SOCKMAP = 15;
const PROG_TYPE_SK_LOOKUP = 30;
const ATTACH_SK_LOOKUP = 36;
const INSTRUCTION_BYTES = 8;
/** Helpers that are for GPL programs only are not used, but the kernel asks for a licence. */
const LICENSE = Buffer.from("Apache-2.0\0");

const cBpf = libc.func("int64_t syscall(int64_t number, int command, uint8_t *attributes, uint32_t size)");

/** A map with room for one socket, whose key is the number 0. Returns a descriptor or a negative errno. */
export function socketMap(): number {
  const attributes = Buffer.alloc(72);
  for (const [index, value] of [MAP_TYPE_SOCKMAP, 4, 8, 1].entries())
    attributes.writeUInt32LE(value, 4 * index);
  return bpf(MAP_CREATE, attributes);
}

/** Puts a listening socket into a {@link socketMap}. The socket leaves it when it is closed. */
export function putSocket(map: number, socket: number): number {
  const key = Buffer.alloc(4);
  const value = Buffer.alloc(8);
  value.writeUInt32LE(socket);
  const attributes = Buffer.alloc(32);
  attributes.writeUInt32LE(map, 0);
  attributes.writeBigUInt64LE(koffi.address(key), 8);
  attributes.writeBigUInt64LE(koffi.address(value), 16);
  return bpf(MAP_UPDATE_ELEM, attributes);
}

/** Loads a program that chooses the socket of a new connection. Returns a descriptor or a negative errno. */
export function loadLookupProgram(instructions: Buffer): number {
  const attributes = Buffer.alloc(72);
  attributes.writeUInt32LE(PROG_TYPE_SK_LOOKUP, 0);
  attributes.writeUInt32LE(instructions.length / INSTRUCTION_BYTES, 4);
  attributes.writeBigUInt64LE(koffi.address(instructions), 8);
  attributes.writeBigUInt64LE(koffi.address(LICENSE), 16);
  attributes.write("blazar_localhost".slice(0, 15), 48);
  attributes.writeUInt32LE(ATTACH_SK_LOOKUP, 68);
  return bpf(PROG_LOAD, attributes);
}

/** Has a program choose for a network namespace, for as long as the descriptor is open that it returns; or -errno. */
export function attachLookupProgram(program: number, namespace: number): number {
  const attributes = Buffer.alloc(16);
  attributes.writeUInt32LE(program, 0);
  attributes.writeUInt32LE(namespace, 4);
  attributes.writeUInt32LE(ATTACH_SK_LOOKUP, 8);
  return bpf(LINK_CREATE, attributes);
}

function bpf(command: number, attributes: Buffer): number {
  const number = SYS_BPF[process.arch];
  if (number === undefined) return -ENOSYS;
  return valueOr(Number(cBpf(number, command, attributes, attributes.length)));
}
