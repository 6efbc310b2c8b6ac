/** Which kind a volume is: the table, source by source, and that no source falls through it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BlazarError } from "../../../src/contracts/errors.ts";
import type { SourceFacts, VolumeCopy, VolumePlan, VolumeRequest } from "../../../src/contracts/volumes.ts";
import { mayBeCopied, volumePlan } from "../../../src/oci/spec/volumes.ts";
import { sourceFacts, volumeEntry } from "../../support/memory-host/volumes.ts";

const POD = "/var/lib/kubelet/pods/8a1c0f5e";
const ID = "f".repeat(64);

function asked(source: string, more: Partial<VolumeRequest> = {}): VolumeRequest {
  const place = { field: "mounts[7]", destination: "/data" };
  return { ...place, source, readonly: false, recursive: true, slave: false, idmapped: false, ...more };
}

function plan(
  source: string,
  more: Partial<VolumeRequest> = {},
  facts: Partial<SourceFacts> = {},
  copy: VolumeCopy = { entries: [volumeEntry("", facts.type === "file" ? "file" : "directory")] },
): VolumePlan {
  return volumePlan({ request: asked(source, more), facts: sourceFacts(source, facts), copy: () => copy });
}

const READONLY = { readonly: true };
const FILE = { type: "file" } as const;

describe("a volume that kubelet writes as a whole", () => {
  test.each(["configmap", "secret", "projected", "downward-api"])("%s is copied, and followed", (plugin) => {
    const source = `${POD}/volumes/kubernetes.io~${plugin}/name`;
    expect(plan(source, READONLY)).toMatchObject({ kind: "copied", source, followed: true });
    expect(mayBeCopied(asked(source, READONLY))).toBe(true);
  });

  test("is the host's own if it may be written to, or if it is large", () => {
    const source = `${POD}/volumes/kubernetes.io~configmap/name`;
    expect(plan(source)).toMatchObject({ kind: "shared", readonly: false, instead: undefined });
    const large = plan(source, READONLY, {}, { refused: "it has more than 5000 files" });
    expect(large).toMatchObject({ kind: "shared", readonly: true, instead: "it has more than 5000 files" });
  });

  test("is copied as a part, too, which is not followed", () => {
    const source = `${POD}/volume-subpaths/config/main/0`;
    const origin = "/var/lib/kubelet/pods/8a/volumes/kubernetes.io~configmap/config/..2026/sub";
    expect(plan(source, READONLY, { origin })).toMatchObject({ kind: "copied", source, followed: false });
    expect(plan(source, READONLY, { origin, ...FILE })).toMatchObject({ kind: "file", writtenBack: false });
    expect(mayBeCopied(asked(source, READONLY))).toBe(true);
    expect(plan(source, READONLY)).toMatchObject({ kind: "shared" });
  });
});

describe("files of a pod", () => {
  test.each([
    ["an emptyDir", `${POD}/volumes/kubernetes.io~empty-dir/v`],
    ["a claim", `${POD}/volumes/kubernetes.io~csi/pvc/mount`],
    ["a claim with a pod's name in it", `${POD}/volumes/kubernetes.io~csi/pvc/mount/pods/8a`],
  ])("what a pod has made in %s to look like one is shared", (_, whole) => {
    const part = `${POD}/volume-subpaths/v/main/0`;
    const origin = `${whole}/volumes/kubernetes.io~configmap/x`;
    expect(plan(part, READONLY, { origin })).toMatchObject({ kind: "shared" });
    const memory = { filesystem: "tmpfs", mounted: true } as const;
    const nested = `${whole}/volumes/kubernetes.io~empty-dir/x`;
    expect(plan(part, {}, { ...memory, origin: nested })).not.toMatchObject({ key: `memory ${nested}` });
  });

  test("kubelet's hosts file is copied, and a termination log is written back", () => {
    expect(plan(`${POD}/etc-hosts`, {}, FILE)).toMatchObject({ kind: "file", writtenBack: false });
    const log = plan(`${POD}/containers/main/1a2b3c4d`, {}, FILE);
    expect(log).toMatchObject({ kind: "file", writtenBack: true });
  });

  test("any other file is the host's own", () => {
    expect(plan("/etc/hosts", READONLY, FILE)).toMatchObject({ kind: "shared", directory: false });
    expect(plan(`${POD}/containers/main/1a2b3c4d/x`, {}, FILE)).toMatchObject({ kind: "shared" });
  });
});

describe("an emptyDir", () => {
  const source = `${POD}/volumes/kubernetes.io~empty-dir/cache`;
  const memory = { filesystem: "tmpfs", filesystemBytes: 4096, mounted: true } as const;

  test("in memory is a tmpfs of the guest, of the same size and for the same users", () => {
    const owner = { mode: 0o2777, uid: 0, gid: 2000 };
    expect(plan(source, {}, { ...memory, ...owner, originOwner: owner })).toMatchObject({
      kind: "memory",
      bytes: 4096,
      path: "",
      root: owner,
    });
  });

  test("in memory is one with its parts", () => {
    const part = plan(`${POD}/volume-subpaths/cache/main/0`, {}, { ...memory, origin: `${source}/a/b` });
    expect(part).toMatchObject({ kind: "memory", path: "a/b" });
    expect((part as { key: string }).key).toBe((plan(source, {}, memory) as { key: string }).key);
  });

  test("on disk is the host's own, also where the whole host is in memory", () => {
    expect(plan(source)).toMatchObject({ kind: "shared" });
    expect(plan(source, {}, { ...memory, mounted: false })).toMatchObject({ kind: "shared" });
  });
});

describe("other sources", () => {
  test("a VOLUME of an OCI image is a directory on the container's disk, unless it begins large", () => {
    const source = `/var/lib/containerd/io.containerd.grpc.v1.cri/containers/${ID}/volumes/${ID}`;
    expect(plan(source)).toEqual({ kind: "own" });
    expect(mayBeCopied(asked(source))).toBe(true);
    expect(plan(source, {}, {}, { refused: "it has more than 5000 files" })).toMatchObject({
      kind: "shared",
    });
  });

  test("a device is the guest's, if Linux has fixed its number", () => {
    const device = { major: 10, minor: 229, mode: 0o666, uid: 0, gid: 0 };
    expect(plan("/dev/fuse", {}, { type: "character", ...device })).toEqual({
      kind: "device",
      type: "c",
      ...device,
    });
    expect(() => plan("/dev/sda", {}, { type: "block", major: 8, minor: 0 })).toThrow(
      "cannot mount a volume (mounts[7]: /dev/sda at /data): the guest has no such device (b 8:0); take it from the pod",
    );
  });

  test.each([
    ["socket", "it is a socket, and nothing in a VM can connect to a socket of the host"],
    ["fifo", "it is a FIFO"],
    ["missing", "there is no such file or directory on the host"],
  ] as const)("a %s is refused with a sentence", (type, sentence) => {
    expect(() => plan("/run/x", {}, { type })).toThrow(sentence);
  });

  test("how it is bound makes it another one", () => {
    const keys = [{}, READONLY, { slave: true }, { recursive: false }].map(
      (more) => (plan("/srv/x", more) as { key: string }).key,
    );
    expect(new Set(keys).size).toBe(4);
  });
});

test("any source has a kind or is refused by name, and nothing of its content is told", () => {
  const name = fc.constantFrom(
    "pods",
    "8a",
    "volumes",
    "kubernetes.io~secret",
    "kubernetes.io~empty-dir",
    "containers",
    ID,
    "1a2b3c4d",
    "etc-hosts",
    "x",
  );
  const source = fc.array(name, { minLength: 1, maxLength: 8 }).map((names) => `/${names.join("/")}`);
  const facts = fc.record({
    type: fc.constantFrom<SourceFacts["type"]>(
      "directory",
      "file",
      "socket",
      "fifo",
      "block",
      "character",
      "missing",
    ),
    filesystem: fc.constantFrom<SourceFacts["filesystem"]>("tmpfs", "hugetlbfs", "other"),
    mounted: fc.boolean(),
    major: fc.nat(20),
    minor: fc.nat(300),
  });
  const request = fc.record({ readonly: fc.boolean(), slave: fc.boolean(), recursive: fc.boolean() });
  const copy = fc.constantFrom<VolumeCopy>(
    { entries: [volumeEntry("", "file", "s3cret")] },
    { refused: "it is large" },
  );
  fc.assert(
    fc.property(source, source, facts, request, copy, (at, origin, found, how, copied) => {
      try {
        const made = plan(
          at,
          how,
          { ...found, origin: fc.sample(fc.constantFrom(at, origin), 1)[0] ?? at },
          copied,
        );
        expect(["copied", "file", "memory", "own", "device", "shared"]).toContain(made.kind);
        if (made.kind === "copied" || made.kind === "own") expect(found.type).toBe("directory");
        if (made.kind === "shared") expect(made.readonly).toBe(how.readonly);
      } catch (error) {
        expect(error).toBeInstanceOf(BlazarError);
        const { code, details, message } = error as BlazarError;
        expect(code).toBe("UnsupportedSpec");
        expect(details.subject).toBe(`mounts[7]: ${at} at /data`);
        expect(message).not.toContain("s3cret");
      }
    }),
    { numRuns: 2000 },
  );
});
