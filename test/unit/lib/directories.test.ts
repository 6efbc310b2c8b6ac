import { mkdir, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { makeDirectories } from "../../../src/lib/directories.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

it("makes a directory and those above it, and leaves what is there", async () => {
  const root = await temporaryDirectory();
  const path = join(root, "a", "b", "c");
  await Promise.all([makeDirectories(path, 0o700), makeDirectories(path, 0o700)]);
  expect((await stat(join(root, "a"))).mode & 0o777).toBe(0o700);
  await makeDirectories(path, 0o755);
  expect((await stat(path)).mode & 0o777).toBe(0o700);
  await mkdir(join(root, "real"));
  await symlink("real", join(root, "link"));
  await makeDirectories(join(root, "link"));
  await makeDirectories(join(root, "link", "below"));
  expect((await stat(join(root, "real", "below"))).isDirectory()).toBe(true);
});

it("fails where there can be none, and does not try for ever", async () => {
  const root = await temporaryDirectory();
  await writeFile(join(root, "file"), "");
  await symlink("nowhere", join(root, "dangling"));
  await expect(makeDirectories(join(root, "file"))).rejects.toMatchObject({ code: "EEXIST" });
  await expect(makeDirectories(join(root, "file", "a", "b"))).rejects.toMatchObject({ code: "ENOTDIR" });
  await expect(makeDirectories(join(root, "dangling"))).rejects.toMatchObject({ code: "EEXIST" });
  // mkdir(2) says ENOENT there, although the parent is there
  await expect(makeDirectories("/proc/blazar-none/below")).rejects.toMatchObject({ code: "ENOENT" });
});
