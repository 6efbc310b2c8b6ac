import { describe, expect, test } from "vitest";
import { HOST_LABELS } from "../../../src/oci/spec/process.ts";
import { translateSpec } from "../../../src/oci/spec/translate.ts";
import { codeOf } from "../../support/code-of.ts";
import { criSpec } from "../../support/cri-spec.ts";

describe("what cannot be had", () => {
  test.each<[string, (spec: ReturnType<typeof criSpec>) => void, string]>([
    ["args missing", (spec) => delete spec.process["args"], "process.args is empty"],
    ["args empty", (spec) => Object.assign(spec.process, { args: [] }), "process.args is empty"],
    ["args null", (spec) => Object.assign(spec.process, { args: null }), "process.args is empty"],
    [
      "an argument that is no text",
      (spec) => Object.assign(spec.process, { args: ["a", 1] }),
      "process.args[1]",
    ],
    ["a NUL in the environment", (spec) => Object.assign(spec.process, { env: ["A=\0"] }), "process.env[0]"],
    ["a relative cwd", (spec) => Object.assign(spec.process, { cwd: "x" }), "not an absolute path"],
    ["no cwd", (spec) => delete spec.process["cwd"], "process.cwd"],
    [
      "a negative uid",
      (spec) => Object.assign(spec.process, { user: { uid: -1 } }),
      "process.user.uid -1): out of range",
    ],
    [
      "a uid beyond 32 bits",
      (spec) => Object.assign(spec.process, { user: { uid: 4_294_967_296 } }),
      "cannot read the OCI spec (process.user.uid 4294967296): out of range",
    ],
    [
      "a uid that is no number",
      (spec) => Object.assign(spec.process, { user: { uid: "root" } }),
      'process.user.uid "root"): it is not',
    ],
    [
      "an umask beyond its nine bits",
      (spec) => Object.assign(spec.process, { user: { umask: 512 } }),
      "process.user.umask 512): out of range",
    ],
    ["a wrong OCI version", (spec) => Object.assign(spec, { ociVersion: "2.0" }), "2.0"],
    [
      "a layer size that is none",
      (spec) => Object.assign(spec, { annotations: { "io.blazar.layer-size": "much" } }),
      "io.blazar.layer-size",
    ],
    [
      "a layer size that nothing fits into",
      (spec) => Object.assign(spec, { annotations: { "io.blazar.layer-size": "64K" } }),
      "at least 1Mi",
    ],
    ["no process", (spec) => Object.assign(spec, { process: null }), "nothing to run"],
    ["a sysctl outside", (spec) => Object.assign(spec.linux, { sysctl: { "../x": "1" } }), "../x"],
    [
      "a soft limit above the hard one",
      (spec) => Object.assign(spec.process, { rlimits: [{ type: "RLIMIT_CORE", soft: 2, hard: 1 }] }),
      "RLIMIT_CORE",
    ],
    [
      "a huge environment",
      (spec) =>
        Object.assign(spec.process, {
          env: Array.from({ length: 25 }, (_, each) => `V${each}=${"x".repeat(200_000)}`),
        }),
      "at most",
    ],
  ])("%s is an invalid spec, and the message says where", (_, change, message) => {
    const spec = criSpec();
    change(spec);
    expect(() => translateSpec(spec)).toThrow(message);
    expect(codeOf(() => translateSpec(spec))).toBe("InvalidSpec");
  });

  test.each<[string, (spec: ReturnType<typeof criSpec>) => void]>([
    ["hooks", (spec) => Object.assign(spec, { hooks: { createRuntime: [{ path: "/bin/hook" }] } })],
    ["a time namespace", (spec) => spec.linux.namespaces.push({ type: "time" })],
    ["net devices", (spec) => Object.assign(spec.linux, { netDevices: { eth1: {} } })],
  ])("%s are refused", (_, change) => {
    const spec = criSpec();
    change(spec);
    expect(codeOf(() => translateSpec(spec))).toBe("UnsupportedSpec");
  });

  test("the annotation of the layer's size bounds the writable layer, and others are not read", () => {
    const withAnnotations = (annotations: unknown) =>
      translateSpec(Object.assign(criSpec(), { annotations }));
    expect(withAnnotations({ "io.blazar.layer-size": "512Mi" }).create.layerBytes).toBe(512 * 2 ** 20);
    expect(withAnnotations({ "io.example": "x" }).create.layerBytes).toBeUndefined();
    expect(withAnnotations(null).create.layerBytes).toBeUndefined();
  });

  test("empty hooks and mappings are none", () => {
    const spec = Object.assign(criSpec(), { hooks: { prestart: [], poststop: null } });
    Object.assign(spec.linux, { uidMappings: [], devices: null, sysctl: null });
    expect(translateSpec(spec).warnings).toEqual([]);
  });

  test("what is ignored is told, a sentence each", () => {
    const spec = criSpec();
    Object.assign(spec.process, {
      apparmorProfile: "cri-containerd.apparmor.d",
      selinuxLabel: "a:b",
      scheduler: {},
    });
    Object.assign(spec.linux, {
      rootfsPropagation: "rshared",
      resources: { blockIO: { weight: 1 } },
    });
    expect(translateSpec(spec).notices).toEqual([HOST_LABELS]);
    expect(translateSpec(spec).warnings).toEqual([
      "linux.resources.blockIO is not supported",
      "mounts of the container do not propagate to the host",
    ]);
  });
});
