/**
 * The beginning of a seccomp filter that answers system calls which are newer than the profile: seccomp(2), classic BPF.
 *
 * Pure. For x86-64 and i386, which are all that a guest runs; x32 and anything else goes on to the profile's own filter.
 */

const LOAD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER = 0x25;
const JUMP_GREATER_OR_EQUAL = 0x35;
const JUMP = 0x05;
const RETURN = 0x06;

/** Offsets in struct seccomp_data. */
const NUMBER = 0;
const ARCHITECTURE = 4;
const AUDIT_ARCH_X86_64 = 0xc000_003e;
const AUDIT_ARCH_I386 = 0x4000_0003;
const X32_BIT = 0x4000_0000;

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

/** Each `last` is the highest number that the profile names, or -1; then nothing of that architecture is answered here. */
export function newerCallsStub(last64: number, last32: number, answer: number): Buffer {
  const program: Instruction[] = [
    [LOAD, 0, 0, ARCHITECTURE],
    [JUMP_EQUAL, 0, 3, AUDIT_ARCH_X86_64],
    [LOAD, 0, 0, NUMBER],
    // to the filter's own start, or to the answer
    [JUMP_GREATER_OR_EQUAL, 5, 0, last64 < 0 ? 0 : X32_BIT],
    [JUMP_GREATER, 3, 4, Math.max(last64, 0)],
    [JUMP_EQUAL, 0, 3, AUDIT_ARCH_I386],
    [LOAD, 0, 0, NUMBER],
    [JUMP_GREATER, 0, 1, last32 < 0 ? 0xffff_ffff : last32],
    [RETURN, 0, 0, answer],
    [JUMP, 0, 0, 0],
  ];
  const bytes = Buffer.alloc(8 * program.length);
  for (const [index, [code, ifTrue, ifFalse, value]] of program.entries()) {
    bytes.writeUInt16LE(code, 8 * index);
    bytes.writeUInt8(ifTrue, 8 * index + 2);
    bytes.writeUInt8(ifFalse, 8 * index + 3);
    bytes.writeUInt32LE(value >>> 0, 8 * index + 4);
  }
  return bytes;
}
