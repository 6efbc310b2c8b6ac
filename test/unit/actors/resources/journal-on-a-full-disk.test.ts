/** A journal whose writes fail, as on a full file system. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { FileJournal } from "../../../../src/actors/resources/journal.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const disk = vi.hoisted(() => ({ full: false }));

vi.mock("node:fs", async (original) => {
  const { writeSync, ...fs } = await original<typeof import("node:fs")>();
  const { promisify } = await import("node:util");
  const write = (file: number, bytes: Uint8Array) => {
    if (disk.full) throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
    return writeSync(file, bytes);
  };
  const promised = async (file: number, bytes: Uint8Array) => ({ bytesWritten: write(file, bytes) });
  return { ...fs, writeSync: write, write: Object.assign(() => undefined, { [promisify.custom]: promised }) };
});

beforeEach(() => {
  disk.full = false;
});

describe("a journal on a full file system", () => {
  it("that cannot be started leaves no file", async () => {
    const folder = await temporaryDirectory();
    disk.full = true;
    const create = FileJournal.create(join(folder, "s1.jsonl"), "s1");
    await expect(create).rejects.toMatchObject({ code: "HostResource" });
    expect(await readdir(folder)).toEqual([]);
  });

  it("holds nothing whose intent could not be written, and is removed by close", async () => {
    const folder = await temporaryDirectory();
    const journal = await FileJournal.create(join(folder, "s1.jsonl"), "s1");
    disk.full = true;
    const intend = journal.intend({ kind: "directory", path: "/run/s1" });
    await expect(intend).rejects.toMatchObject({ code: "HostResource" });
    expect(journal.outstanding()).toEqual([]);
    await journal.close();
    expect(await readdir(folder)).toEqual([]);
  });
});
