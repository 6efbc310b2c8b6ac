import { mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkResource } from "../../../../src/actors/resources/kinds/kinds.ts";
import { BlazarError } from "../../../../src/contracts/errors.ts";
import type { RootfsRequest } from "../../../../src/contracts/storage.ts";
import type { RootfsMount } from "../../../../src/contracts/task.ts";
import { HostRootfsStore } from "../../../../src/host/storage/rootfs-store.ts";
import { readSnapshot } from "../../../../src/host/storage/snapshot.ts";
import { shareOf } from "../../../support/share-of.ts";

function mount(type: string, source: string, options: string[], target = ""): RootfsMount {
  return { type, source, target, options };
}

describe("a snapshot's mounts", () => {
  test("of overlayfs are layers with an upper", () => {
    const options = ["index=off", "workdir=/s/3/work", "upperdir=/s/3/fs", "lowerdir=/s/2/fs:/s/1/fs"];
    expect(readSnapshot([mount("overlay", "overlay", options)])).toEqual({
      kind: "layers",
      lower: ["/s/2/fs", "/s/1/fs"],
      upper: "/s/3/fs",
      readonly: false,
    });
  });

  test("of an overlayfs view have no upper and are read-only", () => {
    expect(readSnapshot([mount("overlay", "overlay", ["lowerdir=/s/2/fs:/s/1/fs"])])).toMatchObject({
      upper: undefined,
      readonly: true,
    });
  });

  test.each([
    ["rw", false],
    ["ro", true],
  ])("of a single directory, %s", (flag, readonly) => {
    expect(readSnapshot([mount("bind", "/s/1/fs", ["rbind", flag])])).toEqual({
      kind: "layers",
      lower: ["/s/1/fs"],
      upper: undefined,
      readonly,
    });
  });

  test("of blockfile and erofs are disks", () => {
    expect(readSnapshot([mount("ext4", "/b/1", ["loop", "rw"])])).toEqual({
      kind: "disk",
      path: "/b/1",
      filesystem: "ext4",
      readonly: false,
    });
    expect(readSnapshot([mount("erofs", "/e/1", ["loop"])])).toMatchObject({ kind: "disk", readonly: true });
  });

  test.each<[string, RootfsMount[], string]>([
    ["none at all", [], "no mount"],
    ["two at once", [mount("erofs", "/e/1", []), mount("overlay", "overlay", [])], "2 mounts"],
    ["an unknown type", [mount("zfs", "pool/1", [])], '"zfs"'],
    ["an unknown option", [mount("overlay", "overlay", ["lowerdir=/a:/b", "frobnicate"])], '"frobnicate"'],
    ["metacopy layers", [mount("overlay", "overlay", ["lowerdir=/a:/b", "metacopy=on"])], "metacopy=on"],
    ["user xattrs", [mount("overlay", "overlay", ["lowerdir=/a:/b", "userxattr"])], "userxattr"],
    ["id mapping", [mount("overlay", "overlay", ["lowerdir=/a:/b", "uidmap=0:1:2"])], "but not both"],
    ["a mapping that is none", [mount("bind", "/a", ["uidmap=0:1", "gidmap=0:1:2"])], "not a mapping"],
    ["id mapping of a disk", [mount("ext4", "/a", ["uidmap=0:1:2", "gidmap=0:1:2"])], "uidmap=0:1:2"],
    ["data-only layers", [mount("overlay", "overlay", ["lowerdir=/a::/b"])], "not an absolute path"],
    ["relative layers", [mount("overlay", "overlay", ["lowerdir=a:b"])], "not an absolute path"],
    ["no lowerdir", [mount("overlay", "overlay", ["upperdir=/a"])], "no lowerdir"],
    ["a mount below the root", [mount("bind", "/a", [], "/etc")], "/etc"],
  ])("%s is refused, naming what", (_, mounts, message) => {
    expect(() => readSnapshot(mounts)).toThrow(message);
    expect(() => readSnapshot(mounts)).toThrow(expect.objectContaining({ code: "InvalidRootfs" }));
  });

  test("whatever they are, are read or refused", () => {
    const option = fc.oneof(
      fc.string(),
      fc.constantFrom("lowerdir=/a:/b", "upperdir=/u", "workdir=/w", "index=off", "ro", "rw", "rbind"),
    );
    const anyMount = fc.record({
      type: fc.oneof(fc.constantFrom("overlay", "bind", "ext4", "erofs", ""), fc.string()),
      source: fc.oneof(fc.constant("/s"), fc.string()),
      target: fc.oneof(fc.constant(""), fc.string()),
      options: fc.array(option, { maxLength: 5 }),
    });
    fc.assert(
      fc.property(fc.array(anyMount, { maxLength: 2 }), (mounts) => {
        try {
          const snapshot = readSnapshot(mounts);
          const paths =
            snapshot.kind === "disk" ? [snapshot.path] : [...snapshot.lower, snapshot.upper ?? "/"];
          expect(paths.every((each) => each.startsWith("/"))).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(BlazarError);
        }
      }),
    );
  });
});

describe("a plan", () => {
  let base: string;
  const store = new HostRootfsStore({
    workers: { run: () => Promise.reject(new Error("a plan must not need a worker")) },
    empty: { image: "/none", extents: "/none" },
  });

  beforeEach(async () => {
    base = await mkdtemp(path.join(tmpdir(), "blazar-plan-"));
    for (const name of ["l1", "l2", "upper", "work"]) mkdirSync(path.join(base, name));
  });
  afterEach(() => rm(base, { recursive: true }));

  const overlay = (...lower: string[]): RootfsMount =>
    mount("overlay", "overlay", [
      `upperdir=${base}/upper`,
      `workdir=${base}/work`,
      `lowerdir=${lower.map((each) => `${base}/${each}`).join(":")}`,
    ]);
  const plan = (mounts: RootfsMount[], containerId = "c1") =>
    store.plan({
      containerId,
      mounts,
      shareDirectory: "/share",
      scratchDirectory: "/scratch",
      owner: undefined,
    });

  test("names every resource and is plain data", async () => {
    const planned = await plan([overlay("l2", "l1")]);
    expect(planned).toEqual({
      containerId: "c1",
      lower: {
        kind: "share",
        directory: "/share/c1",
        target: "/share/c1/rootfs",
        layers: ["/share/c1/mask", `${base}/l2`, `${base}/l1`],
      },
      disk: {
        path: `${base}/upper/.blazar-upper.ext4`,
        filesystem: "ext4",
        owned: true,
        readonly: false,
        kept: true,
      },
      guest: { kind: "layers", path: "c1/rootfs", readonly: false },
      owner: undefined,
    });
    expect(JSON.parse(JSON.stringify(planned))).toEqual(JSON.parse(JSON.stringify(structuredClone(planned))));
  });

  test("takes an upperdir with files as the top layer and hides our image in it", async () => {
    writeFileSync(path.join(base, "upper/.blazar-upper.ext4"), "");
    expect(shareOf(await plan([overlay("l1")])).layers).toEqual(["/share/c1/mask", `${base}/l1`]);
    writeFileSync(path.join(base, "upper/file"), "");
    expect(shareOf(await plan([overlay("l1")])).layers).toEqual([
      "/share/c1/mask",
      `${base}/upper`,
      `${base}/l1`,
    ]);
  });

  test("puts the disk of a snapshot without upperdir into the scratch directory", async () => {
    const planned = await plan([mount("bind", path.join(base, "l1"), ["rbind", "rw"])]);
    expect(planned.disk).toMatchObject({ path: "/scratch/c1.ext4", owned: true, kept: false });
  });

  test.each(["..", "a/b", "", ".", "-x", "a\0b", "x".repeat(129)])(
    "refuses the container id %j",
    async (id) => {
      await expect(plan([overlay("l1")], id)).rejects.toMatchObject({ code: "InvalidArgument" });
    },
  );

  test("refuses layers that are not there, naming them", async () => {
    await expect(plan([overlay("l1", "gone")])).rejects.toMatchObject({
      code: "InvalidRootfs",
      message: expect.stringContaining("gone"),
    });
    await expect(plan([mount("ext4", path.join(base, "l1"), [])])).rejects.toThrow("not a disk image");
  });

  describe("with an image of its layers", () => {
    const leases: string[] = [];
    const imageOf = (lower: readonly string[]) => ({
      ...{ key: "k", path: "/images/k/image.erofs", bytes: 1, lower, holders: [] },
      ...{ createdAt: new Date(0), lastUsedAt: new Date(0) },
    });
    const withImages = new HostRootfsStore({
      workers: { run: () => Promise.reject(new Error("a plan must not need a worker")) },
      empty: { image: "/none", extents: "/none" },
      images: {
        use: async (lower, holder) => {
          leases.push(`${holder}: ${lower.join(":")}`);
          return { image: imageOf(lower), release: async () => undefined };
        },
        prepare: async (lower) => {
          leases.push(`made: ${lower.join(":")}`);
          return imageOf(lower);
        },
        release: async (key, holder) => void leases.splice(0, leases.length, `${holder} gave back ${key}`),
      },
    });
    const request = (more: Partial<RootfsRequest> = {}) => ({
      ...{ containerId: "c1", mounts: [overlay("l2", "l1")], shareDirectory: "/share" },
      ...{ scratchDirectory: "/scratch", owner: undefined, ...more },
    });
    beforeEach(() => void leases.splice(0));

    test("names it and mounts nothing, and the lease is the container's", async () => {
      const planned = await withImages.plan(request());
      expect(planned.lower).toEqual({ kind: "image", key: "k", path: "/images/k/image.erofs" });
      expect(planned.guest).toEqual({ kind: "image", path: "", readonly: false });
      expect(planned.disk.path).toBe(`${base}/upper/.blazar-upper.ext4`);
      expect(leases).toEqual([`c1: ${base}/l2:${base}/l1`]);
      await withImages.releaseImage(planned);
      expect(leases).toEqual(["c1 gave back k"]);
    });

    test("goes by the share if that is asked for, or its upperdir has files", async () => {
      expect((await withImages.plan(request({ withoutImage: true }))).lower?.kind).toBe("share");
      writeFileSync(path.join(base, "upper/file"), "");
      expect((await withImages.plan(request())).lower?.kind).toBe("share");
      expect(leases).toEqual([]);
    });

    test("asks for none of a directory that is the container's own copy, as native gives it", async () => {
      const own = [mount("bind", path.join(base, "l1"), ["rw", "rbind"])];
      expect((await withImages.plan({ ...request(), mounts: own })).lower?.kind).toBe("share");
      expect(leases).toEqual([]);
      const view = [mount("bind", path.join(base, "l1"), ["ro", "rbind"])];
      expect((await withImages.plan({ ...request(), mounts: view })).lower?.kind).toBe("image");
    });

    describe("for a user namespace", () => {
      const maps = [{ containerId: 0, hostId: 9, size: 7 }];
      const userNamespace = { uids: maps, gids: maps };
      const mapped = (more: Partial<RootfsRequest>) => {
        const layers = overlay("l2", "l1");
        const options = [...layers.options, "uidmap=0:9:7", "gidmap=0:9:7"];
        return request({ mounts: [{ ...layers, options }], ...more });
      };

      test("is made first, and the guest maps its ids", async () => {
        const planned = await withImages.plan(mapped({ userNamespace }));
        expect(planned).toMatchObject({ idmapped: true, lower: { kind: "image" } });
        expect(leases).toEqual([`made: ${base}/l2:${base}/l1`, `c1: ${base}/l2:${base}/l1`]);
        const plain = await withImages.plan(request({ userNamespace }));
        expect(plain.idmapped).toBeUndefined();
      });

      test("does not go by the share, which has the ids of the host", async () => {
        await expect(withImages.plan(mapped({ userNamespace, withoutImage: true }))).rejects.toThrow(
          "can map the ids of an image's files only",
        );
      });

      test("must have the snapshot's maps", async () => {
        const other = { uids: maps, gids: [{ containerId: 0, hostId: 8, size: 7 }] };
        for (const userNamespace of [other, undefined])
          await expect(withImages.plan(mapped({ userNamespace }))).rejects.toThrow("in the spec");
      });
    });

    test("is read from a journal as it was written", async () => {
      const planned = await withImages.plan(request());
      const shared = await withImages.plan(request({ withoutImage: true }));
      const disks = { ...planned, lower: { kind: "disks", paths: ["/a", "/b"] } as const };
      for (const each of [planned, shared, disks]) {
        const written = JSON.parse(JSON.stringify({ kind: "rootfs", plan: each }));
        expect(checkResource(written, "journal")).toEqual({ kind: "rootfs", plan: each });
      }
    });
  });
});
