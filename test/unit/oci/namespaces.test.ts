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

describe("a volume in a user namespace", () => {
  const bound = (more: object, spec = mapped([MAP])) => {
    const mount = { destination: "/d", type: "bind", source: "/srv/d", options: ["rbind"], ...more };
    return translateSpec({ ...(spec as object), mounts: [mount] });
  };
  const maps = { uidMappings: [MAP], gidMappings: [MAP] };

  test("has the owners that the mount's maps make, if these are the container's", () => {
    expect(bound(maps).volumes).toMatchObject([{ idmapped: true }]);
    expect(bound({}).volumes).toMatchObject([{ idmapped: false }]);
    const { volumes, create } = bound({ options: ["rbind", "ridmap"] });
    expect(volumes).toMatchObject([{ idmapped: true }]);
    expect(create.mounts[0]?.options).toEqual([]);
  });

  test.each([
    ["other maps", { ...maps, gidMappings: [{ ...MAP, size: 5 }] }, undefined],
    ["maps of users alone", { uidMappings: [MAP] }, undefined],
    ["maps without a user namespace", maps, criSpec()],
    ["idmap without a user namespace", { options: ["bind", "idmap"] }, criSpec()],
  ])("with %s is refused, naming it", (_, more, spec) => {
    expect(() => bound(more, spec)).toThrow(
      /mounts\[0\].*the volume \/srv\/d at \/d maps ids in another way/,
    );
    expect(() => bound(more, spec)).toThrow(expect.objectContaining({ code: "UnsupportedSpec" }));
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
