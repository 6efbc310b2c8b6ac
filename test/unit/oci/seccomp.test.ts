import { describe, expect, test } from "vitest";
import { readSeccomp } from "../../../src/oci/spec/seccomp.ts";

describe("a seccomp profile of a spec", () => {
  test("that is absent or empty filters nothing", () => {
    const without = [undefined, null, {}, { defaultAction: "" }, { syscalls: [], flags: ["X"] }];
    expect(without.map(readSeccomp)).toEqual(without.map(() => undefined));
  });

  test("keeps names, numbers and flags", () => {
    const read = readSeccomp({
      defaultAction: "SCMP_ACT_ERRNO",
      defaultErrnoRet: 38,
      architectures: ["SCMP_ARCH_X86_64"],
      flags: ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"],
      syscalls: [
        { names: ["read"], action: "SCMP_ACT_ALLOW" },
        {
          names: ["personality"],
          action: "SCMP_ACT_ERRNO",
          errnoRet: 1,
          args: [{ index: 0, value: 4_294_967_295, op: "SCMP_CMP_EQ" }],
        },
      ],
    });
    expect(read).toEqual({
      defaultAction: "SCMP_ACT_ERRNO",
      defaultErrnoRet: 38,
      architectures: ["SCMP_ARCH_X86_64"],
      flags: 6,
      rules: [
        { names: ["read"], action: "SCMP_ACT_ALLOW", errnoRet: undefined, args: [] },
        {
          names: ["personality"],
          action: "SCMP_ACT_ERRNO",
          errnoRet: 1,
          args: [{ index: 0, op: "SCMP_CMP_EQ", value: 4_294_967_295n, valueTwo: 0n }],
        },
      ],
    });
  });

  test("has operands of 64 bits, as text where a number would be rounded", () => {
    const args = [
      { index: 0, op: "SCMP_CMP_MASKED_EQ", value: "18446744073709551615", valueTwo: 2 ** 53 - 1 },
    ];
    const read = readSeccomp(syscalls({ names: ["read"], action: "SCMP_ACT_LOG", args }));
    expect(read?.rules[0]?.args[0]).toMatchObject({ value: 2n ** 64n - 1n, valueTwo: 2n ** 53n - 1n });
  });

  const syscalls = (syscall: object) => ({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [syscall] });
  test.each<[unknown, string]>([
    [{ defaultAction: "DENY" }, 'linux.seccomp.defaultAction): "DENY" is not an action'],
    [{ syscalls: [{ names: ["read"], action: "SCMP_ACT_ALLOW" }] }, "linux.seccomp.defaultAction"],
    [{ defaultAction: "SCMP_ACT_ALLOW", flags: ["X"] }, 'linux.seccomp.flags[0]): "X"'],
    [{ defaultAction: "SCMP_ACT_ALLOW", architectures: ["x86"] }, 'linux.seccomp.architectures[0]): "x86"'],
    [{ defaultAction: "SCMP_ACT_ALLOW", listenerPath: "/run/s" }, "linux.seccomp.listenerPath"],
    [syscalls({ names: ["a", ""], action: "SCMP_ACT_ALLOW" }), "linux.seccomp.syscalls[0].names[1]"],
    [syscalls({ names: ["a"], action: "SCMP_ACT_NOTIFY" }), "linux.seccomp.syscalls[0].action"],
    [
      syscalls({ names: ["a"], action: "SCMP_ACT_LOG", args: [{ index: 6, op: "SCMP_CMP_EQ" }] }),
      "linux.seccomp.syscalls[0].args[0].index",
    ],
    [
      syscalls({ names: ["a"], action: "SCMP_ACT_LOG", args: [{ index: 0, op: "==" }] }),
      'linux.seccomp.syscalls[0].args[0].op): "=="',
    ],
    [
      syscalls({ names: ["a"], action: "SCMP_ACT_LOG", args: [{ op: "SCMP_CMP_EQ", value: 2 ** 60 }] }),
      "linux.seccomp.syscalls[0].args[0].value",
    ],
    [
      syscalls({
        names: ["a"],
        action: "SCMP_ACT_LOG",
        args: [{ op: "SCMP_CMP_EQ", valueTwo: "18446744073709551616" }],
      }),
      "linux.seccomp.syscalls[0].args[0].valueTwo",
    ],
  ])("%j is refused by the name of the field", (value, message) => {
    expect(() => readSeccomp(value)).toThrow(message);
  });
});
