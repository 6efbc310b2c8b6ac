/** Files that an operator has named. */
import { execFileSync } from "node:child_process";
import { chown, lstat, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { writeOutput } from "../../../src/cli/output-file.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const BYTES = new TextEncoder().encode("all of it");

test("a file is its owner's only, also where there was one before", async () => {
  const directory = await temporaryDirectory();
  const file = path.join(directory, "x.tar");
  await writeFile(file, "older", { mode: 0o644 });
  await writeOutput(file, BYTES, "write it");
  expect(await readFile(file, "utf8")).toBe("all of it");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readdir(directory)).toEqual(["x.tar"]);
});

test("nothing is written through a link", async () => {
  const directory = await temporaryDirectory();
  const target = path.join(directory, "precious");
  await writeFile(target, "mine");
  const file = path.join(directory, "x.tar");
  await symlink(target, file);
  await writeOutput(file, BYTES, "write it");
  expect(await readFile(target, "utf8")).toBe("mine");
  expect(await readFile(file, "utf8")).toBe("all of it");
  await expect(readlink(file)).rejects.toThrow();
});

test("what cannot be written is told in a sentence, and nothing is left", async () => {
  const directory = await temporaryDirectory();
  await mkdir(path.join(directory, "a"));
  for (const file of [path.join(directory, "a"), path.join(directory, "none", "x.tar")])
    await expect(writeOutput(file, BYTES, "write it")).rejects.toMatchObject({
      code: "HostResource",
      message: expect.stringMatching(/^cannot write it \(.+\): E.+; name another file/),
    });
  expect(await readdir(directory)).toEqual(["a"]);
});

test("what is no file is written to as it is", async () => {
  await writeOutput("/dev/null", BYTES, "write it");
  expect((await stat("/dev/null")).isCharacterDevice()).toBe(true);
});

test.skipIf(process.getuid?.() !== 0)(
  "nothing is written into a pipe that another user has put there",
  async () => {
    const directory = await temporaryDirectory();
    const file = path.join(directory, "x.tar");
    execFileSync("mkfifo", [file]);
    await chown(file, 65_534, 65_534);
    await writeOutput(file, BYTES, "write it");
    expect((await lstat(file)).isFile()).toBe(true);
    expect(await readFile(file, "utf8")).toBe("all of it");
  },
);
