import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SeccompProfile, SeccompRule } from "../../../src/contracts/seccomp.ts";
import { CompiledProfiles, type SeccompTasks } from "../../../src/host/seccomp/compiled-profiles.ts";
import { WorkerPool } from "../../../src/host/storage/worker-pool.ts";
import { runSeccompFilter, type SystemCall } from "../../support/seccomp-filter.ts";
import { bundleWorker, type WorkerBundle } from "../../support/worker-bundle.ts";

const ALLOW = 0x7fff_0000;
const EPERM = 0x0005_0001;
const ENOSYS = 0x0005_0026;
const I386 = 0x4000_0003;
const ARM = 0xc000_00b7;
/** Numbers of x86-64. */
const CALLS = { read: 0, clone: 56, mkdir: 83, personality: 135, clone3: 435, faccessat2: 439 };

const rule = (names: string[], more: Partial<SeccompRule> = {}): SeccompRule => ({
  names,
  action: "SCMP_ACT_ALLOW",
  errnoRet: undefined,
  args: [],
  ...more,
});
const profile = (rules: SeccompRule[], more: Partial<SeccompProfile> = {}): SeccompProfile => ({
  defaultAction: "SCMP_ACT_ERRNO",
  defaultErrnoRet: undefined,
  architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
  flags: 0,
  rules,
  ...more,
});

describe("a seccomp profile", () => {
  let bundle: WorkerBundle;
  let pool: WorkerPool<SeccompTasks>;
  let profiles: CompiledProfiles;
  beforeAll(async () => {
    bundle = await bundleWorker("seccomp");
    pool = new WorkerPool<SeccompTasks>({ file: bundle.file, maxThreads: 1 });
    profiles = new CompiledProfiles(pool);
  });
  afterAll(async () => {
    await pool.close();
    await bundle.remove();
  });

  const answer = async (given: SeccompProfile, call: SystemCall) =>
    runSeccompFilter(Buffer.from((await profiles.compile(given)).program, "base64"), call);

  test("lets through what it names and refuses the rest", async () => {
    const given = profile([rule(["read", "mkdir", "no_such_call"])]);
    expect(await answer(given, { number: CALLS.read })).toBe(ALLOW);
    expect(await answer(given, { number: CALLS.mkdir })).toBe(ALLOW);
    expect(await answer(given, { number: CALLS.clone })).toBe(EPERM);
    // 39 is mkdir to i386, and getpid to x86-64
    expect(await answer(given, { number: 39, architecture: I386 })).toBe(ALLOW);
    expect(await answer(given, { number: 39 })).toBe(EPERM);
  });

  test("answers with the errno that it says", async () => {
    const given = profile(
      [rule(["clone3"], { action: "SCMP_ACT_ERRNO", errnoRet: 38 }), rule(["faccessat2"])],
      {
        defaultErrnoRet: 13,
      },
    );
    expect(await answer(given, { number: CALLS.clone3 })).toBe(ENOSYS);
    expect(await answer(given, { number: CALLS.read })).toBe(0x0005_000d);
  });

  test("says of system calls that are newer than all of its own that there are none", async () => {
    const given = profile([rule(["read", "clone3"])]);
    expect(await answer(given, { number: CALLS.clone3 + 1 })).toBe(ENOSYS);
    expect(await answer(given, { number: CALLS.clone3 - 1 })).toBe(EPERM);
    expect(await answer(given, { number: 450, architecture: I386 })).toBe(ENOSYS);
    const permissive = profile([], { defaultAction: "SCMP_ACT_ALLOW" });
    expect(await answer(permissive, { number: 450 })).toBe(ALLOW);
  });

  test("kills callers of an architecture that it does not name", async () => {
    const given = profile([rule(["read"])], { architectures: ["SCMP_ARCH_X86_64"] });
    expect(await answer(given, { number: 3, architecture: I386 })).toBe(0);
    expect(await answer(given, { number: 63, architecture: ARM })).toBe(0);
  });

  test("looks at arguments", async () => {
    const equal = (value: bigint) => ({ index: 0, op: "SCMP_CMP_EQ", value, valueTwo: 0n });
    const masked = { index: 0, op: "SCMP_CMP_MASKED_EQ", value: 0x7e02_0000n, valueTwo: 0n };
    const given = profile([
      rule(["personality"], { args: [equal(0n), equal(8n)] }),
      rule(["clone"], { args: [masked] }),
    ]);
    const personality = (value: bigint) => answer(given, { number: CALLS.personality, arguments: [value] });
    expect([await personality(0n), await personality(8n), await personality(9n)]).toEqual([
      ALLOW,
      ALLOW,
      EPERM,
    ]);
    expect(await answer(given, { number: CALLS.clone, arguments: [0x11n] })).toBe(ALLOW);
    expect(await answer(given, { number: CALLS.clone, arguments: [0x1000_0000n] })).toBe(EPERM);
  });

  test("looks at all 64 bits of an argument", async () => {
    const high = {
      index: 1,
      op: "SCMP_CMP_MASKED_EQ",
      value: 0xffff_ffff_0000_0001n,
      valueTwo: 0x8000_0000_0000_0001n,
    };
    const given = profile([rule(["read"], { args: [high] })]);
    const read = (second: bigint) => answer(given, { number: CALLS.read, arguments: [0n, second] });
    expect(await read(0x8000_0000_1234_5671n)).toBe(ALLOW);
    expect(await read(0x8000_0000_1234_5670n)).toBe(EPERM);
    expect(await read(0x8000_0001_1234_5671n)).toBe(EPERM);
  });

  test("is compiled once", async () => {
    const given = profile([rule(["read"])]);
    expect(await profiles.compile(structuredClone(given))).toBe(await profiles.compile(given));
  });

  test("that libseccomp refuses is named by the field, and tried again", async () => {
    const given = profile([], { architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_VAX"] });
    for (let time = 0; time < 2; time++)
      await expect(profiles.compile(given)).rejects.toMatchObject({
        code: "InvalidSpec",
        details: { subject: "linux.seccomp.architectures[1]" },
      });
  });
});
