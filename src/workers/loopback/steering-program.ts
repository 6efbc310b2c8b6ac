/**
 * The program that steers connections to `localhost` to one socket: BPF_PROG_TYPE_SK_LOOKUP (bpf-helpers(7), linux/bpf.h).
 *
 * The kernel runs it when a TCP segment asks for a connection and before it looks for a listener. Where it chooses no socket,
 * the kernel looks by itself. Pure. It must pass the verifier of Linux 5.9, and touch no other address or protocol.
 */
import { AF_INET, AF_INET6 } from "../../protocol/netlink/constants.ts";

/** Operations: BPF_CLASS | BPF_SIZE | BPF_OP | BPF_SRC. */
const LOAD_WORD = 0x61;
const STORE_WORD = 0x62;
const LOAD_IMMEDIATE_64 = 0x18;
const MOVE = 0xb7;
const MOVE_REGISTER = 0xbf;
const ADD = 0x07;
const JUMP = 0x05;
const JUMP_EQUAL = 0x15;
const JUMP_NOT_EQUAL = 0x55;
const CALL = 0x85;
const EXIT = 0x95;

const PSEUDO_MAP_FD = 1;
const MAP_LOOKUP_ELEM = 1;
const SK_RELEASE = 86;
const SK_ASSIGN = 124;
const SK_PASS = 1;

/** Offsets in struct bpf_sk_lookup. */
const FAMILY = 8;
const PROTOCOL = 12;
const LOCAL_IP4 = 40;
const LOCAL_IP6 = 44;

const IPPROTO_TCP = 6;
/** 127.0.0.1 and the last word of ::1, in network byte order as a little-endian word has it. */
const LOOPBACK_4 = 0x0100_007f;
const LOOPBACK_6 = 0x0100_0000;
const STACK = 10;
const INSTRUCTION_BYTES = 8;

type Label = "ipv4" | "steer" | "pass";
interface Instruction {
  readonly operation: number;
  readonly to?: number;
  readonly from?: number;
  readonly offset?: number | Label;
  readonly value?: number;
}

/** @param map descriptor of a map whose only element is the socket */
export function steeringProgram(map: number): Buffer {
  return assemble([
    { operation: MOVE_REGISTER, to: 6, from: 1 },
    ...unless(PROTOCOL, IPPROTO_TCP),
    { operation: LOAD_WORD, to: 2, from: 6, offset: FAMILY },
    { operation: JUMP_EQUAL, to: 2, offset: "ipv4", value: AF_INET },
    { operation: JUMP_NOT_EQUAL, to: 2, offset: "pass", value: AF_INET6 },
    ...[0, 0, 0, LOOPBACK_6].flatMap((word, index) => unless(LOCAL_IP6 + 4 * index, word)),
    { operation: JUMP, offset: "steer" },
    "ipv4",
    ...unless(LOCAL_IP4, LOOPBACK_4),
    "steer",
    { operation: STORE_WORD, to: STACK, offset: -4 },
    { operation: LOAD_IMMEDIATE_64, to: 1, from: PSEUDO_MAP_FD, value: map },
    { operation: 0 },
    { operation: MOVE_REGISTER, to: 2, from: STACK },
    { operation: ADD, to: 2, value: -4 },
    { operation: CALL, value: MAP_LOOKUP_ELEM },
    // the socket is closed: nobody listens
    { operation: JUMP_EQUAL, to: 0, offset: "pass" },
    { operation: MOVE_REGISTER, to: 7, from: 0 },
    { operation: MOVE_REGISTER, to: 1, from: 6 },
    { operation: MOVE_REGISTER, to: 2, from: 7 },
    { operation: MOVE, to: 3 },
    { operation: CALL, value: SK_ASSIGN },
    { operation: MOVE_REGISTER, to: 1, from: 7 },
    { operation: CALL, value: SK_RELEASE },
    "pass",
    { operation: MOVE, to: 0, value: SK_PASS },
    { operation: EXIT },
  ]);
}

/** Goes on only if a word of the context has this value. */
function unless(offset: number, value: number): Instruction[] {
  return [
    { operation: LOAD_WORD, to: 2, from: 6, offset },
    { operation: JUMP_NOT_EQUAL, to: 2, offset: "pass", value },
  ];
}

function assemble(lines: readonly (Instruction | Label)[]): Buffer {
  const instructions: Instruction[] = [];
  const labels = new Map<Label, number>();
  for (const line of lines) {
    if (typeof line === "string") labels.set(line, instructions.length);
    else instructions.push(line);
  }
  const bytes = Buffer.alloc(INSTRUCTION_BYTES * instructions.length);
  for (const [index, { operation, to = 0, from = 0, offset = 0, value = 0 }] of instructions.entries()) {
    const distance = typeof offset === "number" ? offset : (labels.get(offset) ?? 0) - index - 1;
    bytes.writeUInt8(operation, INSTRUCTION_BYTES * index);
    bytes.writeUInt8(to | (from << 4), INSTRUCTION_BYTES * index + 1);
    bytes.writeInt16LE(distance, INSTRUCTION_BYTES * index + 2);
    bytes.writeInt32LE(value, INSTRUCTION_BYTES * index + 4);
  }
  return bytes;
}
