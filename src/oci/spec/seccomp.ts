/**
 * Reads the seccomp profile of an OCI spec: runtime-spec, config-linux.md#seccomp.
 *
 * RuntimeDefault and localhost profiles arrive here alike; unconfined is no profile. Checks names and numbers, so that an
 * error has the field's name; what a system call's number is, is for the compiler to find out (contracts/seccomp.ts).
 */
import * as z from "zod/mini";
import type { SeccompArgument, SeccompProfile, SeccompRule } from "../../contracts/seccomp.ts";
import { atMost } from "./limits.ts";
import { invalidSpec, isEmpty, readSpec, unsupportedSpec } from "./schema.ts";

const texts = z.nullish(z.array(z.string()));
/** 64 bits; text where a number would be rounded. */
const operand = z.nullish(z.union([z.number().check(z.gte(0)), z.string().check(z.regex(/^[0-9]{1,20}$/))]));

const seccompSchema = z.object({
  defaultAction: z.nullish(z.string()),
  defaultErrnoRet: z.nullish(z.int().check(z.gte(0), z.lte(4095))),
  architectures: texts,
  flags: texts,
  listenerPath: z.nullish(z.string()),
  syscalls: z.nullish(
    z.array(
      z.object({
        names: texts,
        action: z.nullish(z.string()),
        errnoRet: z.nullish(z.int().check(z.gte(0), z.lte(0xffff))),
        args: z.nullish(
          z.array(
            z.object({
              index: z.nullish(z.int().check(z.gte(0), z.lte(5))),
              value: operand,
              valueTwo: operand,
              op: z.nullish(z.string()),
            }),
          ),
        ),
      }),
    ),
  ),
});
type Syscall = NonNullable<NonNullable<z.output<typeof seccompSchema>["syscalls"]>[number]>;
type Argument = NonNullable<Syscall["args"]>[number];

const FIELD = "linux.seccomp";
const ACTIONS = new Set(
  ["KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG"].map(
    (name) => `SCMP_ACT_${name}`,
  ),
);
const OPERATORS = new Set(
  ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"].map((name) => `SCMP_CMP_${name}`),
);
/** A process loads its filter while it has one thread, so TSYNC has nothing to do; nobody listens, so WAIT_KILLABLE neither. */
const FLAGS: ReadonlyMap<string, number> = new Map([
  ["SECCOMP_FILTER_FLAG_TSYNC", 0],
  ["SECCOMP_FILTER_FLAG_LOG", 2],
  ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", 4],
  ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 0],
]);
const MAX_RULES = 4096;
const MOST_OPERAND = 2n ** 64n - 1n;

/** Undefined: unconfined, as runc takes a profile without default action and system calls. @throws BlazarError `InvalidSpec`, `UnsupportedSpec` */
export function readSeccomp(value: unknown): SeccompProfile | undefined {
  if (isEmpty(value)) return undefined;
  const given = readSpec(seccompSchema, value, FIELD);
  if (isEmpty(given.defaultAction) && isEmpty(given.syscalls)) return undefined;
  if (!isEmpty(given.listenerPath))
    throw unsupportedSpec(`${FIELD}.listenerPath`, "a listener on the host cannot decide for a guest");
  return {
    defaultAction: action(given.defaultAction, `${FIELD}.defaultAction`),
    defaultErrnoRet: given.defaultErrnoRet ?? undefined,
    architectures: atMost(given.architectures ?? [], 64, `${FIELD}.architectures`).map(architecture),
    flags: atMost(given.flags ?? [], 64, `${FIELD}.flags`).reduce(addFlag, 0),
    rules: atMost(given.syscalls ?? [], MAX_RULES, `${FIELD}.syscalls`).map(readRule),
  };
}

function readRule({ names, action: asked, errnoRet, args }: Syscall, index: number): SeccompRule {
  const field = `${FIELD}.syscalls[${index}]`;
  const empty = (names ?? []).indexOf("");
  if (empty >= 0) throw invalidSpec(`${field}.names[${empty}]`, "the name of a system call is empty");
  return {
    names: atMost(names ?? [], MAX_RULES, `${field}.names`),
    action: action(asked, `${field}.action`),
    errnoRet: errnoRet ?? undefined,
    args: atMost(args ?? [], 12, `${field}.args`).map((argument, at) =>
      readArgument(argument, `${field}.args[${at}]`),
    ),
  };
}

function readArgument({ index, value, valueTwo, op }: Argument, field: string): SeccompArgument {
  if (op === undefined || op === null || !OPERATORS.has(op))
    throw invalidSpec(`${field}.op`, `"${op ?? ""}" is not a comparison`);
  return {
    ...{ index: index ?? 0, op },
    value: readOperand(value, `${field}.value`),
    valueTwo: readOperand(valueTwo, `${field}.valueTwo`),
  };
}

function readOperand(value: Argument["value"], field: string): bigint {
  const isExact = typeof value !== "number" || Number.isSafeInteger(value);
  const read = isExact ? BigInt(value ?? 0) : undefined;
  if (read !== undefined && read <= MOST_OPERAND) return read;
  throw invalidSpec(field, `${value} is not an integer of 64 bits`);
}

function action(name: string | null | undefined, field: string): string {
  if (name === "SCMP_ACT_NOTIFY")
    throw unsupportedSpec(field, "SCMP_ACT_NOTIFY needs a listener, and none can decide for a guest");
  if (name !== undefined && name !== null && ACTIONS.has(name)) return name;
  throw invalidSpec(field, `"${name ?? ""}" is not an action`);
}

function architecture(name: string, index: number): string {
  if (/^SCMP_ARCH_[A-Z0-9_]{1,20}$/.test(name)) return name;
  throw invalidSpec(`${FIELD}.architectures[${index}]`, `"${name}" is not an architecture`);
}

function addFlag(flags: number, name: string, index: number): number {
  const flag = FLAGS.get(name);
  if (flag === undefined) throw invalidSpec(`${FIELD}.flags[${index}]`, `"${name}" is not a flag`);
  return flags | flag;
}
