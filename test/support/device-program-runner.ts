/**
 * Runs the program of a cgroup's device rules as the kernel would: the few instructions of BPF that it is made of
 * (kernel: Documentation/bpf/standardization/instruction-set.rst). Throws at any other one, and at a jump that leaves the
 * program.
 */

export interface DeviceAccess {
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
  /** Letters of r, w and m. */
  readonly access: string;
}

const ACCESS: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };

export function runDeviceProgram(program: Uint8Array, asked: DeviceAccess): boolean {
  const view = new DataView(program.buffer, program.byteOffset, program.length);
  const access = [...asked.access].reduce((sum, letter) => sum | (ACCESS[letter] ?? 0), 0);
  const context = [(access << 16) | (asked.type === "b" ? 1 : 2), asked.major, asked.minor];
  const registers = Array<number>(11).fill(0);
  for (let at = 0; at < program.length; at += 8) {
    const code = view.getUint8(at);
    const to = view.getUint8(at + 1) & 15;
    const from = view.getUint8(at + 1) >> 4;
    const offset = view.getInt16(at + 2, true);
    const value = view.getUint32(at + 4, true);
    const left = registers[to] ?? 0;
    const right = registers[from] ?? 0;
    if (code === 0x61) registers[to] = context[offset / 4] ?? Number.NaN;
    else if (code === 0xbc) registers[to] = right;
    else if (code === 0xb4) registers[to] = value;
    else if (code === 0x54) registers[to] = (left & value) >>> 0;
    else if (code === 0x74) registers[to] = left >>> value;
    else if (code === 0x56) at += left !== value ? 8 * offset : 0;
    else if (code === 0x5e) at += left !== right ? 8 * offset : 0;
    else if (code === 0x16) at += left === value ? 8 * offset : 0;
    else if (code === 0x95) return registers[0] === 1;
    else throw new Error(`unknown instruction ${code}`);
  }
  throw new Error("the program has no end");
}
