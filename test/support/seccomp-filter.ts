/** Small seccomp filters, made by hand, and a machine that runs any (seccomp(2), classic BPF; x86-64). */

const NUMBERS = { mkdir: 83, getpid: 39 } as const;
const ALLOW = 0x7fff_0000;
const ERRNO = 0x0005_0000;

/** Lets everything through but these system calls, which fail with an errno. */
export function seccompFilter(errnos: Partial<Record<keyof typeof NUMBERS, number>>): Buffer {
  const program: [number, number, number, number][] = [[0x20, 0, 0, 0]];
  for (const [name, errno] of Object.entries(errnos))
    program.push([0x15, 0, 1, NUMBERS[name as keyof typeof NUMBERS]], [0x06, 0, 0, ERRNO | errno]);
  program.push([0x06, 0, 0, ALLOW]);
  const bytes = Buffer.alloc(8 * program.length);
  for (const [index, [code, ifTrue, ifFalse, value]] of program.entries()) {
    bytes.writeUInt16LE(code, 8 * index);
    bytes.writeUInt8(ifTrue, 8 * index + 2);
    bytes.writeUInt8(ifFalse, 8 * index + 3);
    bytes.writeUInt32LE(value, 8 * index + 4);
  }
  return bytes;
}

export interface SystemCall {
  readonly number: number;
  /** AUDIT_ARCH_*; default: x86-64. */
  readonly architecture?: number;
  readonly arguments?: readonly bigint[];
}

/** What a filter answers: SECCOMP_RET_*. Throws at an instruction that libseccomp does not make. */
export function runSeccompFilter(program: Buffer, call: SystemCall): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(call.number >>> 0, 0);
  data.writeUInt32LE(call.architecture ?? 0xc000_003e, 4);
  for (const [index, value] of (call.arguments ?? []).entries()) data.writeBigUInt64LE(value, 16 + 8 * index);
  const scratch: number[] = [];
  let accumulator = 0;
  for (let at = 0; at < program.length; at += 8) {
    const code = program.readUInt16LE(at);
    const value = program.readUInt32LE(at + 4);
    const jump = (yes: boolean) => {
      at += 8 * program.readUInt8(at + (yes ? 2 : 3));
    };
    if (code === 0x20) accumulator = data.readUInt32LE(value);
    else if (code === 0x60) accumulator = scratch[value] ?? 0;
    else if (code === 0x02) scratch[value] = accumulator;
    else if (code === 0x54) accumulator = (accumulator & value) >>> 0;
    else if (code === 0x05) at += 8 * value;
    else if (code === 0x15) jump(accumulator === value);
    else if (code === 0x25) jump(accumulator > value);
    else if (code === 0x35) jump(accumulator >= value);
    else if (code === 0x06) return value;
    else throw new Error(`unknown instruction ${code}`);
  }
  throw new Error("the filter has no end");
}
