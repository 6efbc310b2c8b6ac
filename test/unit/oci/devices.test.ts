import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BlazarError } from "../../../src/contracts/errors.ts";
import { translateSpec } from "../../../src/oci/spec/translate.ts";
import {
  ALWAYS_ALLOWED,
  type DeviceRule,
  deviceProgram,
} from "../../../src/protocol/guest/device-program.ts";
import { criSpec } from "../../support/cri-spec.ts";
import { runDeviceProgram } from "../../support/device-program-runner.ts";

const DENY_ALL: DeviceRule = { allow: false, type: "a", major: undefined, minor: undefined, access: "rwm" };
const rule = (allow: boolean, spec: string, access = "rwm"): DeviceRule => {
  const [, type, major, minor] = /^(\w) (\S+):(\S+)$/.exec(spec) ?? [];
  const number = (text: string | undefined) => (text === "*" ? undefined : Number(text));
  return { allow, type: type as "b" | "c", major: number(major), minor: number(minor), access };
};
const allowed = (
  rules: readonly DeviceRule[],
  type: "b" | "c",
  major: number,
  minor: number,
  access: string,
) => runDeviceProgram(deviceProgram(rules), { type, major, minor, access });

describe("the program of device rules", () => {
  const usual = [DENY_ALL, ...ALWAYS_ALLOWED];

  test.each<[string, "b" | "c", number, number, string, boolean]>([
    ["a disk cannot be read", "b", 8, 0, "r", false],
    ["a disk cannot be written", "b", 8, 0, "w", false],
    ["its node can be made", "b", 8, 0, "m", true],
    ["a node that is made and opened at once is still refused", "b", 8, 0, "rm", false],
    ["the serial line cannot be opened", "c", 4, 64, "r", false],
    ["/dev/null can be used", "c", 1, 3, "rw", true],
    ["/dev/mem cannot", "c", 1, 1, "r", false],
    ["terminals can be used", "c", 136, 7, "rw", true],
    ["the multiplexer can be used", "c", 5, 2, "rw", true],
    ["a block device with the number of /dev/null is another device", "b", 1, 3, "r", false],
  ])("of an ordinary container: %s", (_, type, major, minor, access, answer) => {
    expect(allowed(usual, type, major, minor, access)).toBe(answer);
  });

  test("no rules at all allow nothing", () => {
    expect(allowed([], "c", 1, 3, "r")).toBe(false);
  });

  test("a rule for all devices forgets what came before, and exceptions count from there", () => {
    const all = { ...DENY_ALL, allow: true };
    const rules = [rule(false, "c 1:3"), all, rule(false, "b 8:*", "w")];
    expect(allowed(rules, "c", 1, 3, "rw")).toBe(true);
    expect(allowed(rules, "b", 8, 1, "r")).toBe(true);
    expect(allowed(rules, "b", 8, 1, "rw")).toBe(false);
  });

  test("an exception can be taken back, in part or whole", () => {
    const rules = [DENY_ALL, rule(true, "c 10:229"), rule(false, "c 10:229", "w")];
    expect(allowed(rules, "c", 10, 229, "r")).toBe(true);
    expect(allowed(rules, "c", 10, 229, "w")).toBe(false);
    expect(allowed([...rules, rule(false, "c 10:229")], "c", 10, 229, "r")).toBe(false);
  });

  test("a hole in a wider exception is refused", () => {
    expect(() => deviceProgram([DENY_ALL, rule(true, "c 10:*"), rule(false, "c 10:229")])).toThrow(
      "a rule for c 10:229 cannot take back a part of the rule for c 10:*",
    );
  });

  test("numbers above 2^31 are compared as they are", () => {
    const big = rule(true, "c 10:4294967295");
    expect(allowed([DENY_ALL, big], "c", 10, 4_294_967_295, "r")).toBe(true);
    expect(allowed([DENY_ALL, big], "c", 10, 1, "r")).toBe(false);
  });

  test("without holes, the last rule that names a device decides", () => {
    const device = fc.record({
      type: fc.constantFrom("b" as const, "c" as const),
      major: fc.nat(2),
      minor: fc.nat(2),
    });
    const rules = fc.array(fc.record({ device, allow: fc.boolean() }), { maxLength: 12 });
    fc.assert(
      fc.property(rules, device, fc.boolean(), (list, asked, byDefault) => {
        const own = list.map(({ device: { type, major, minor }, allow }) =>
          rule(allow, `${type} ${major}:${minor}`),
        );
        const same = (each: (typeof list)[number]) => JSON.stringify(each.device) === JSON.stringify(asked);
        const expected = list.findLast(same)?.allow ?? byDefault;
        const { type, major, minor } = asked;
        expect(allowed([{ ...DENY_ALL, allow: byDefault }, ...own], type, major, minor, "rw")).toBe(expected);
      }),
    );
  });
});

describe("devices of a spec", () => {
  const withDevices = (devices: object[], rules: object[] = [{ allow: false, access: "rwm" }]) => {
    const spec = criSpec();
    Object.assign(spec.linux, { devices, resources: { devices: rules } });
    return translateSpec(spec);
  };
  const programOf = (result: ReturnType<typeof withDevices>) =>
    Buffer.from(result.create.deviceProgram, "base64");

  test("an ordinary spec has the program that a rehearsed guest knows", () => {
    expect(programOf(withDevices([]))).toEqual(Buffer.from(deviceProgram(ALWAYS_ALLOWED)));
  });

  test("a device that Linux has given a number is made, with mode and owner", () => {
    const fuse = { path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 0o660, uid: 7, gid: 8 };
    const allow = { allow: true, type: "c", major: 10, minor: 229, access: "rw" };
    const result = withDevices([fuse, { path: "/dev/null", type: "c", major: 1, minor: 3 }], [allow]);
    expect(result.create.devices).toEqual([
      { path: "/dev/fuse", type: "c", major: 10, minor: 229, mode: 0o660, uid: 7, gid: 8 },
    ]);
    expect(runDeviceProgram(programOf(result), { type: "c", major: 10, minor: 229, access: "rw" })).toBe(
      true,
    );
    expect(result.warnings).toEqual([]);
  });

  test("a disk of the host is refused, by its name and number", () => {
    const disk = { path: "/dev/sdb", type: "b", major: 8, minor: 16 };
    expect(() => withDevices([disk])).toThrow(
      "cannot obey the OCI spec (linux.devices[0]): the host's device /dev/sdb (b 8:16) is not in the guest; " +
        "take it from the pod",
    );
  });

  test("a rule about a disk of the host opens no disk of the guest", () => {
    const allow = { allow: true, type: "b", major: 8, minor: 0, access: "rwm" };
    const result = withDevices([], [{ allow: false, access: "rwm" }, allow]);
    expect(runDeviceProgram(programOf(result), { type: "b", major: 8, minor: 0, access: "r" })).toBe(false);
    expect(result.warnings).toEqual(["rules about the host's devices do not apply in the guest: b 8:0"]);
  });

  test("a privileged container may use all of the guest's devices, and goes without the host's", () => {
    const disk = { path: "/dev/sdb", type: "b", major: 8, minor: 16 };
    const result = withDevices([disk], [{ allow: true, access: "rwm" }]);
    expect(runDeviceProgram(programOf(result), { type: "b", major: 8, minor: 0, access: "rw" })).toBe(true);
    expect(result.warnings).toEqual(["the host's devices are not in the guest: /dev/sdb"]);
  });

  test.each<[string, object, string]>([
    ["a type", { path: "/dev/x", type: "x", major: 1, minor: 1 }, 'linux.devices[0].type): "x" is not'],
    ["no number", { path: "/dev/x", type: "c" }, "has no major or minor number"],
    ["a relative path", { path: "x", type: "c", major: 1, minor: 1 }, 'linux.devices[0].path): "x"'],
  ])("%s that is wrong is named", (_, device, message) => {
    expect(() => withDevices([device])).toThrow(message);
  });

  test.each<[object, string]>([
    [{ allow: true, type: "c", access: "rx" }, "linux.resources.devices[0].access"],
    [{ allow: true, type: "q", access: "r" }, "linux.resources.devices[0].type"],
  ])("the rule %j is named", (wrong, message) => {
    expect(() => withDevices([], [wrong])).toThrow(message);
  });

  test("any rules are made into a program or refused by a BlazarError", () => {
    const number = fc.option(fc.integer({ min: -1, max: 300 }), { nil: null });
    const rules = fc.array(
      fc.record({
        allow: fc.boolean(),
        type: fc.constantFrom("a", "b", "c", "", null),
        major: number,
        minor: number,
        access: fc.constantFrom("r", "w", "m", "rw", "rwm", "", null),
      }),
    );
    fc.assert(
      fc.property(rules, (list) => {
        try {
          expect(programOf(withDevices([], list)).length % 8).toBe(0);
        } catch (error) {
          expect(error).toBeInstanceOf(BlazarError);
        }
      }),
    );
  });
});
