/**
 * From device rules to the program of a cgroup: OCI runtime-spec, config-linux.md#allowed-device-list, and the kernel's
 * BPF_PROG_TYPE_CGROUP_DEVICE (bpf-docs, struct bpf_cgroup_dev_ctx).
 *
 * Pure. The rules mean what they mean to cgroup v1, as with runc: one for all devices sets the default and drops what
 * came before; any other is an exception from it, or takes one back. The kernel of the guest verifies the instructions.
 */
import { blazarError } from "../../contracts/errors.ts";

/** One rule. `type` a: all devices. Undefined numbers stand for all. */
export interface DeviceRule {
  readonly allow: boolean;
  readonly type: "a" | "b" | "c";
  readonly major: number | undefined;
  readonly minor: number | undefined;
  /** Letters of r, w and m (mknod). */
  readonly access: string;
}

/** What runc allows every container, after its own rules. Making any node is harmless where it cannot be opened. */
export const ALWAYS_ALLOWED: readonly DeviceRule[] = [
  ["c", undefined, undefined, "m"],
  ["b", undefined, undefined, "m"],
  ["c", 1, 3, "rwm"],
  ["c", 1, 8, "rwm"],
  ["c", 1, 7, "rwm"],
  ["c", 5, 0, "rwm"],
  ["c", 1, 5, "rwm"],
  ["c", 1, 9, "rwm"],
  ["c", 136, undefined, "rwm"],
  ["c", 5, 2, "rwm"],
].map(([type, major, minor, access]) => ({ allow: true, type, major, minor, access }) as DeviceRule);

/** BPF_DEVCG_ACC_*. */
const ACCESS: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };
const EVERYTHING = 7;
/** BPF_DEVCG_DEV_*. */
const TYPES = { b: 1, c: 2 } as const;

interface Exception {
  readonly type: "b" | "c";
  readonly major: number | undefined;
  readonly minor: number | undefined;
  readonly access: number;
}

/** What a list of rules comes to: a default, and the exceptions from it. */
interface Policy {
  allow: boolean;
  readonly exceptions: Map<string, Exception>;
}

/** The instructions of the rules' program, 8 bytes each. Throws InvalidSpec where cgroup v1 could not obey the rules. */
export function deviceProgram(rules: readonly DeviceRule[]): Uint8Array {
  const policy: Policy = { allow: false, exceptions: new Map() };
  for (const rule of rules) apply(policy, rule);
  return assemble(policy);
}

function apply(policy: Policy, rule: DeviceRule): void {
  if (rule.type === "a") {
    policy.allow = rule.allow;
    policy.exceptions.clear();
    return;
  }
  const { type, major, minor } = rule;
  const key = keyOf(type, major, minor);
  const known = policy.exceptions.get(key)?.access ?? 0;
  const asked = accessOf(rule.access);
  const takesBack = policy.allow === rule.allow;
  if (takesBack) refuseHole(policy, rule, asked);
  const access = takesBack ? known & ~asked : known | asked;
  if (access === 0) policy.exceptions.delete(key);
  else policy.exceptions.set(key, { type, major, minor, access });
}

/** An exception for many devices cannot be taken back for one of them: neither cgroup v1 nor runc can do that. */
function refuseHole(policy: Policy, { type, major, minor }: DeviceRule, access: number): void {
  if (type === "a") return;
  const own = keyOf(type, major, minor);
  for (const wider of [keyOf(type, undefined, minor), keyOf(type, major, undefined), keyOf(type)]) {
    const overlap = wider === own ? 0 : (policy.exceptions.get(wider)?.access ?? 0) & access;
    if (overlap === 0) continue;
    const reason = `a rule for ${own} cannot take back a part of the rule for ${wider}`;
    throw blazarError("InvalidSpec", "read the device rules", reason, {
      subject: "linux.resources.devices",
    });
  }
}

function keyOf(type: string, major?: number, minor?: number): string {
  return `${type} ${major ?? "*"}:${minor ?? "*"}`;
}

function accessOf(letters: string): number {
  let access = 0;
  for (const letter of letters) access |= ACCESS[letter] ?? 0;
  return access;
}

// Registers: r1 holds the context and later is scratch; r2 type, r3 access, r4 major, r5 minor; r0 the answer.
const LOAD_WORD = 0x61;
const MOVE_REGISTER = 0xbc;
const MOVE = 0xb4;
const AND = 0x54;
const SHIFT_RIGHT = 0x74;
const JUMP_IF_EQUAL = 0x16;
const JUMP_UNLESS_EQUAL = 0x56;
const JUMP_UNLESS_EQUAL_REGISTER = 0x5e;
const EXIT = 0x95;

interface Instruction {
  readonly code: number;
  readonly to?: number;
  readonly from?: number;
  readonly offset?: number;
  readonly value?: number;
}

function assemble({ allow, exceptions }: Policy): Uint8Array {
  const program: Instruction[] = [
    { code: LOAD_WORD, to: 2, from: 1, offset: 0 },
    { code: MOVE_REGISTER, to: 3, from: 2 },
    { code: AND, to: 2, value: 0xffff },
    { code: SHIFT_RIGHT, to: 3, value: 16 },
    { code: LOAD_WORD, to: 4, from: 1, offset: 4 },
    { code: LOAD_WORD, to: 5, from: 1, offset: 8 },
  ];
  for (const exception of exceptions.values()) program.push(...exceptionCode(exception, !allow));
  program.push({ code: MOVE, to: 0, value: allow ? 1 : 0 }, { code: EXIT });
  return encode(program);
}

/**
 * Answers `allow` if the exception covers the access, else goes on behind itself. An exception that allows must cover all
 * of the access; one that denies, a part of it.
 */
function exceptionCode({ type, major, minor, access }: Exception, allow: boolean): Instruction[] {
  const tests: Instruction[] = [{ code: JUMP_UNLESS_EQUAL, to: 2, value: TYPES[type] }];
  if (major !== undefined) tests.push({ code: JUMP_UNLESS_EQUAL, to: 4, value: major });
  if (minor !== undefined) tests.push({ code: JUMP_UNLESS_EQUAL, to: 5, value: minor });
  if (access !== EVERYTHING) {
    tests.push({ code: MOVE_REGISTER, to: 1, from: 3 }, { code: AND, to: 1, value: access });
    if (allow) tests.push({ code: JUMP_UNLESS_EQUAL_REGISTER, to: 1, from: 3 });
    // zero: nothing that is denied is asked for
    else tests.push({ code: JUMP_IF_EQUAL, to: 1, value: 0 });
  }
  const answer: Instruction[] = [{ code: MOVE, to: 0, value: allow ? 1 : 0 }, { code: EXIT }];
  const length = tests.length + answer.length;
  const jumps = tests.map((each, index) =>
    isJump(each.code) ? { ...each, offset: length - index - 1 } : each,
  );
  return [...jumps, ...answer];
}

function isJump(code: number): boolean {
  return code === JUMP_UNLESS_EQUAL || code === JUMP_UNLESS_EQUAL_REGISTER || code === JUMP_IF_EQUAL;
}

/** struct bpf_insn, little endian. */
function encode(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(8 * program.length);
  const view = new DataView(bytes.buffer);
  for (const [index, { code, to = 0, from = 0, offset = 0, value = 0 }] of program.entries()) {
    view.setUint8(8 * index, code);
    view.setUint8(8 * index + 1, (from << 4) | to);
    view.setInt16(8 * index + 2, offset, true);
    view.setUint32(8 * index + 4, value, true);
  }
  return bytes;
}
