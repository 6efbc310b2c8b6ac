/** A store's directory: what is in it, who may write to it, and what is swept away. */
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { KeptDirectories } from "../../../../src/host/builds/kept-directories.ts";
import { readSmallFile } from "../../../../src/host/builds/small-file.ts";

const KEY = "a".repeat(64);

describe("a store of directories", () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(path.join(tmpdir(), "blazar-kept-"));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  const open = (directory = root) => new KeptDirectories(directory, () => Promise.resolve(false));

  it("sweeps away its own drafts and nothing else of a directory that has other things in it", async () => {
    const names = [".new-abcdef", ".old-012345", ".new-mine", ".old-abcdef.tar", "new-abcdef"];
    await Promise.all(names.map((name) => mkdir(path.join(root, name))));
    await writeFile(path.join(root, ".new-fedcba"), "");
    const leftovers = (await open().leftovers()).map((each) => path.basename(each));
    expect(leftovers.toSorted()).toEqual([".new-abcdef", ".old-012345"]);
  });

  it("knows directories by their keys, and no file of such a name", async () => {
    await mkdir(path.join(root, KEY));
    await writeFile(path.join(root, "b".repeat(64)), "");
    expect(await open().keys()).toEqual([KEY]);
  });

  it("refuses a directory that others may write to, before anything in it is used", async () => {
    await mkdir(path.join(root, KEY));
    await chmod(root, 0o1777);
    const refused = { code: "HostResource", message: expect.stringContaining("others may write to it") };
    await expect(open().keys()).rejects.toMatchObject(refused);
    await expect(open().has(KEY)).rejects.toMatchObject(refused);
    await expect(open().mark(KEY, "held")).rejects.toMatchObject(refused);
    await expect(open().prepare("image.directory")).rejects.toMatchObject(refused);
    await chmod(root, 0o755);
    expect(await open().has(KEY)).toBe(true);
  });

  it("says what is wrong with a path that can be no store", async () => {
    await writeFile(path.join(root, "file"), "");
    await symlink("loop", path.join(root, "loop"));
    for (const name of ["file", "loop"]) {
      const store = open(path.join(root, name));
      await expect(store.keys()).rejects.toMatchObject({ code: "HostResource" });
      await expect(store.has(KEY)).rejects.toMatchObject({ code: "HostResource" });
    }
    // mkdir(2) gives ENOENT there although the parent exists
    await expect(open("/proc/blazar-no-store").prepare("image.directory")).rejects.toMatchObject({
      code: "HostResource",
    });
  });

  it("is a store behind a symlink, and none before it is made", async () => {
    await mkdir(path.join(root, "real", KEY), { recursive: true });
    await symlink("real", path.join(root, "link"));
    expect(await open(path.join(root, "link")).keys()).toEqual([KEY]);
    expect(await open(path.join(root, "missing")).keys()).toEqual([]);
  });

  it("makes a mark whole or not at all, and none on what is gone", async () => {
    await mkdir(path.join(root, KEY));
    expect(await open().mark(KEY, "held.c1", "text")).toBe(true);
    expect(await readdir(path.join(root, KEY))).toEqual(["held.c1"]);
    expect(await readSmallFile(path.join(root, KEY, "held.c1"))).toBe("text");
    expect(await open().mark("b".repeat(64), "held.c1", "text")).toBe(false);
  });
});

describe("a small file", () => {
  it("is a file of its own, of a bounded size", async () => {
    const root = await mkdtemp(path.join(tmpdir(), "blazar-small-"));
    try {
      await writeFile(path.join(root, "large"), "12345");
      await symlink("/dev/zero", path.join(root, "zero"));
      await expect(readSmallFile(path.join(root, "large"), 4)).rejects.toThrow("it has 5 bytes");
      await expect(readSmallFile(path.join(root, "zero"))).rejects.toMatchObject({ code: "ELOOP" });
      await expect(readSmallFile(root)).rejects.toThrow("it is no file");
      await expect(readSmallFile("/dev/zero")).rejects.toThrow("it is no file");
    } finally {
      await rm(root, { recursive: true });
    }
  });
});
