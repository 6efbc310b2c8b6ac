/** A journal that a later daemon goes on with: torn, with garbage in it, of another boot or version, grown long. */
import { appendFile, chmod, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fc, test } from "@fast-check/vitest";
import { describe, expect, it } from "vitest";
import { JOURNAL_VERSION } from "../../../../src/actors/resources/journal/entries.ts";
import { FileJournal } from "../../../../src/actors/resources/journal/journal.ts";
import { historyOf, originOf, readJournal } from "../../../../src/actors/resources/journal/read-journal.ts";
import type { HostResource } from "../../../../src/actors/resources/kinds/kinds.ts";
import { bootId } from "../../../../src/lib/processes/boot-id.ts";
import { replayJournal } from "../../../../src/observe/replay/replay.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

function directory(path: string): HostResource {
  return { kind: "directory", path };
}

const fact = { bundle: "/b", namespace: undefined, diskId: "d" };

async function fresh() {
  const folder = await temporaryDirectory();
  const path = join(folder, "s1.jsonl");
  return { folder, path, journal: await FileJournal.create(path, "s1", () => 1000) };
}

const read = async (path: string) => readJournal(await readFile(path, "utf8"));
const reopen = async (path: string) => FileJournal.reopen(path, await read(path));

/** What a daemon leaves that dies with `/one` and `/two` made. */
async function left() {
  const { path, journal, folder } = await fresh();
  await journal.undone(await journal.intend(directory("/zero")));
  await journal.intend(directory("/one"));
  await journal.intend(directory("/two"));
  await journal.close();
  return { path, folder };
}

function paths(outstanding: readonly { readonly resource: HostResource }[]): unknown[] {
  return outstanding.map(({ resource }) => "path" in resource && resource.path);
}

describe("a journal of an earlier daemon", () => {
  it("says in which format and in which boot of the host it was begun", async () => {
    const { path } = await left();
    const content = await read(path);
    expect(content).toMatchObject({ sandboxId: "s1", version: JOURNAL_VERSION, boot: await bootId() });
    expect(originOf(content, await bootId())).toBe("here");
    expect(originOf(content, "another")).toBe("another boot");
    expect(originOf({ ...content, version: JOURNAL_VERSION + 1 }, content.boot)).toBe("another version");
    expect(originOf({ version: undefined, boot: undefined }, "known")).toBe("here");
  });

  it("is gone on with: numbers go on, and what was outstanding can be undone", async () => {
    const { path, folder } = await left();
    const journal = await reopen(path);
    expect(paths(journal.outstanding())).toEqual(["/one", "/two"]);
    const third = await journal.intend(directory("/three"));
    expect(third).toBe(4);
    await journal.undone(2);
    expect(paths((await read(path)).outstanding)).toEqual(["/two", "/three"]);
    await journal.undone(3);
    await journal.undone(third);
    await journal.close();
    expect(await readdir(folder)).toEqual([]);
  });

  it("loses its torn last line, and begins a line of its own after a whole one without an end", async () => {
    const { path } = await left();
    const whole = await readFile(path, "utf8");
    await appendFile(path, '{"type":"int');
    const torn = await reopen(path);
    expect(await readFile(path, "utf8")).toBe(whole);
    await torn.intend(directory("/three"));
    await torn.close();
    await appendFile(path, JSON.stringify({ type: "undone", at: 1, ref: 2 }));
    const unended = await reopen(path);
    await unended.intend(directory("/four"));
    await unended.close();
    const { outstanding, unreadable } = await read(path);
    expect(paths(outstanding)).toEqual(["/two", "/three", "/four"]);
    expect(unreadable).toEqual([]);
  });

  it("keeps lines that cannot be read, and is kept aside at its end", async () => {
    const { path, folder } = await left();
    const line = JSON.stringify({ type: "intent", at: 1, ref: 9, resource: { kind: "tap", name: "tap0" } });
    await appendFile(path, `${line}\n`);
    const journal = await reopen(path);
    // the number of a resource that another version knows is not given again
    expect(await journal.intend(directory("/three"))).toBe(10);
    for (const { ref } of journal.outstanding()) await journal.undone(ref);
    await journal.close();
    expect(await readdir(folder)).toEqual(["s1.jsonl.unreadable"]);
  });

  it("is a regular file of ours, mode 0600", async () => {
    const { path, folder } = await left();
    await chmod(path, 0o666);
    const content = await read(path);
    await (await FileJournal.reopen(path, content)).close();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await symlink(path, join(folder, "link.jsonl"));
    for (const other of ["link.jsonl", "."]) {
      await expect(FileJournal.reopen(join(folder, other), content)).rejects.toMatchObject({
        code: "HostResource",
      });
    }
  });

  test.prop([fc.double({ min: 0, max: 1, noNaN: true })])(
    "cut at any byte is gone on with",
    async (where) => {
      const { path } = await left();
      const bytes = await readFile(path);
      await writeFile(path, bytes.subarray(0, Math.floor(where * bytes.length)));
      const before = await read(path);
      const journal = await FileJournal.reopen(path, before);
      await journal.intend(directory("/more"));
      await journal.close();
      const after = await read(path);
      expect(paths(after.outstanding)).toEqual([...paths(before.outstanding), "/more"]);
      expect(after.unreadable).toEqual([]);
    },
  );

  test.prop([fc.string({ unit: "binary" }), fc.nat(4)])(
    "with any garbage in it forgets nothing",
    async (garbage, where) => {
      const { path } = await left();
      const lines = (await readFile(path, "utf8")).split("\n");
      lines.splice(where, 0, ...garbage.split("\n"));
      await writeFile(path, lines.join("\n"));
      const journal = await reopen(path);
      expect(paths(journal.outstanding())).toEqual(["/one", "/two"]);
      await journal.intend(directory("/more"));
      await journal.close();
      expect(paths((await read(path)).outstanding)).toEqual(["/one", "/two", "/more"]);
    },
  );
});

describe("a long journal", () => {
  it("is written anew: what is outstanding, facts, and the first and latest history stay", async () => {
    const { path, journal, folder } = await fresh();
    const stays = await journal.intend(directory("/stays"));
    await journal.fact("container/c1", fact);
    for (let id = 1; id <= 4000; id++) journal.history({ id, kind: "note", at: id, name: "x".repeat(200) });
    for (let probe = 0; probe < 3000; probe++) {
      const written = [journal.fact(`process/c1/${probe}`, processFact(probe))];
      const ref = journal.intend({ kind: "stdio", id: `c1/${probe}`, paths: processFact(probe).paths });
      await Promise.all(written);
      await journal.undone(await ref);
      await journal.fact(`process/c1/${probe}`, null);
    }
    const text = await readFile(path, "utf8");
    expect(text.length).toBeLessThan(2 * 1024 * 1024);
    const content = readJournal(text);
    expect(content.outstanding).toEqual([{ ref: stays, resource: directory("/stays"), since: 1000 }]);
    expect(content.outstanding).toEqual(journal.outstanding());
    expect([...content.facts.keys()]).toEqual(["container/c1"]);
    const history = historyOf(content).map(({ id }) => id);
    expect(history).toHaveLength(512 + 1024);
    expect([history[0], history[511], history.at(-1)]).toEqual([1, 512, 4000]);
    expect(replayJournal(text).unreadable).toBe(0);
    expect(await readdir(folder)).toEqual(["s1.jsonl"]);
    await journal.close();
  });

  it("keeps lines that cannot be read, and goes on to be one file", async () => {
    const { path, folder } = await left();
    const line = JSON.stringify({ type: "intent", at: 1, ref: 9, resource: { kind: "tap", name: "tap0" } });
    await appendFile(path, `${line}\n`);
    const journal = await reopen(path);
    for (let id = 1; id <= 9000; id++)
      journal.history({ id, kind: "note", chart: "sandbox", at: id, name: "n" });
    await journal.fact("container/c1", fact);
    await journal.intend(directory("/three"));
    const content = await read(path);
    expect(content.lines).toBeLessThan(9000);
    expect(content.unreadable).toEqual([line]);
    expect(paths(content.outstanding)).toEqual(["/one", "/two", "/three"]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await journal.close();
    expect(await readdir(folder)).toEqual(["s1.jsonl"]);
  });
});

function processFact(pid: number) {
  return {
    pid,
    paths: { stdin: "", stdout: `/fifo/${pid}`, stderr: "" },
    ...{ terminal: false, started: true, streams: undefined, process: undefined, exit: undefined },
  };
}
