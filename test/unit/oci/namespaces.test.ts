import { describe, expect, test } from "vitest";
import type { OciIdMapping, OciNamespace } from "../../../src/oci/spec/schema.ts";
import { translateSpec } from "../../../src/oci/spec/translate.ts";
import { criSpec, SANDBOX_PID } from "../../support/cri-spec.ts";

const MAP: OciIdMapping = { containerID: 0, hostID: 200_000, size: 65_536 };
const READ = { containerId: 0, hostId: 200_000, size: 65_536 };

function specWith(linux: object, more: object = {}): unknown {
  const spec = criSpec();
  return { ...spec, ...more, linux: { ...spec.linux, ...linux } };
}

function mapped(uidMappings: readonly object[], gidMappings: readonly object[] = [MAP]): unknown {
  const user = { type: "user", path: `/proc/${SANDBOX_PID}/ns/user` };
  const { namespaces } = criSpec().linux;
  return specWith({ namespaces: [...namespaces, user], uidMappings, gidMappings });
}

describe("a user namespace", () => {
  test("has the spec's maps in the guest", () => {
    const { create } = translateSpec(mapped([MAP], [{ ...MAP, hostID: 300_000 }]));
    expect(create.userNamespace).toEqual({ uids: [READ], gids: [{ ...READ, hostId: 300_000 }] });
    expect(translateSpec(criSpec()).create.userNamespace).toBeUndefined();
  });

  test.each([
    ["without maps", mapped([]), "linux.namespaces"],
    ["without group maps", mapped([MAP], []), "linux.gidMappings"],
    ["without root", mapped([{ ...MAP, containerID: 1 }]), "id 0 is not mapped"],
    ["beyond 32 bits", mapped([{ ...MAP, size: 4_294_967_295 }]), "out of range"],
    ["of nothing", mapped([{ ...MAP, size: 0 }]), "linux.uidMappings[0].size 0"],
    ["that overlaps", mapped([MAP, { containerID: 100_000, hostID: 200_001, size: 1 }]), "overlap"],
    [
      "of too many parts",
      mapped(Array.from({ length: 341 }, (_, at) => ({ containerID: at, hostID: at, size: 1 }))),
      "more than 340",
    ],
    ["that nobody asked for", specWith({ uidMappings: [MAP] }), "linux.uidMappings"],
  ])("%s is refused, naming what", (_, spec, words) => {
    expect(() => translateSpec(spec)).toThrow(words);
    expect(() => translateSpec(spec)).toThrow(expect.objectContaining({ code: "InvalidSpec" }));
  });
});

describe("namespaces", () => {
  const own = (...types: string[]): OciNamespace[] => types.map((type) => ({ type }));

  test("without a path are the container's own, with one the pod's", () => {
    expect(translateSpec(criSpec()).create.ownNamespaces).toEqual([]);
    const all = specWith({ namespaces: own("ipc", "uts", "network", "pid", "mount", "cgroup") });
    expect(translateSpec(all).create).toMatchObject({
      ownNamespaces: ["ipc", "uts", "network"],
      pidNamespace: "container",
    });
  });

  test("of its own give a container its own names; otherwise the pod's stay", () => {
    const names = { hostname: "inner", domainname: "example" };
    expect(translateSpec(specWith({ namespaces: own("uts") }, names)).create).toMatchObject(names);
    expect(translateSpec(specWith({}, names)).create).toMatchObject({ hostname: "", domainname: "" });
    const long = { hostname: "x".repeat(65) };
    expect(() => translateSpec(specWith({}, long))).toThrow("longer than 64 bytes");
  });

  test.each([
    ["of an unknown kind", own("moon"), "linux.namespaces[0].type"],
    ["given twice", own("ipc", "ipc"), "linux.namespaces[1].type"],
  ])("%s are refused", (_, namespaces, words) => {
    expect(() => translateSpec(specWith({ namespaces }))).toThrow(words);
  });
});
