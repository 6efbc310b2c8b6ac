/** What journals in files say that somebody holds, and what is concluded from those that cannot be read. */
import { execFileSync } from "node:child_process";
import { appendFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readClaims } from "../../../../src/actors/reconcile/claims.ts";
import { FileJournal } from "../../../../src/actors/resources/journal/journal.ts";
import { OpenJournals } from "../../../../src/actors/resources/journal/open-journals.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const HELD = { kind: "directory", path: "/run/blazar/vm/0a" } as const;

async function bench() {
  const directory = await temporaryDirectory();
  const path = join(directory, "s1.jsonl");
  const journal = await FileJournal.create(path, "s1");
  await journal.intend(HELD);
  await journal.close();
  return { directory, path, claims: () => readClaims(directory, new OpenJournals(), true) };
}

describe("the journals of a daemon that does not run", () => {
  it("claim what they name", async () => {
    const { claims } = await bench();
    const read = await claims();
    expect(read.has(HELD)).toBe(true);
    expect(read.incomplete).toBe(false);
  });

  it("may claim anything if a line of one cannot be read", async () => {
    const { path, claims } = await bench();
    await appendFile(path, "garbage\n");
    const read = await claims();
    expect(read.has(HELD)).toBe(true);
    expect(read.incomplete).toBe(true);
  });

  it("claim nothing more where a daemon runs, which has taken over what it could", async () => {
    const { directory, path } = await bench();
    await appendFile(path, "garbage\n");
    const read = await readClaims(directory, new OpenJournals(), false);
    expect(read.has(HELD)).toBe(true);
    expect(read.incomplete).toBe(false);
  });

  it.each(["directory", "fifo", "garbage"] as const)(
    "leave nothing to conclude beside a %s",
    async (kind) => {
      const { directory, claims } = await bench();
      const path = join(directory, "s2.jsonl");
      if (kind === "directory") await mkdir(path);
      if (kind === "fifo") execFileSync("mkfifo", [path]);
      if (kind === "garbage") await writeFile(path, "garbage\n");
      if (kind === "garbage") expect(await claims()).toMatchObject({ incomplete: true });
      else await expect(claims()).rejects.toThrow(/it is no regular file/);
    },
  );
});
