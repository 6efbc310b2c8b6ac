import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fc, test } from "@fast-check/vitest";
import { describe, expect, it } from "vitest";
import { FileJournal } from "../../../../src/actors/resources/journal/journal.ts";
import { historyOf, readJournal } from "../../../../src/actors/resources/journal/read-journal.ts";
import type { HostResource } from "../../../../src/actors/resources/kinds/kinds.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const directory: HostResource = { kind: "directory", path: "/run/blazar/sandboxes/s1" };
const vmm: HostResource = { kind: "process", id: "s1" };

async function fresh() {
  const path = join(await temporaryDirectory(), "s1.jsonl");
  return { path, journal: await FileJournal.create(path, "s1", () => 1000) };
}

describe("a journal", () => {
  it("has the intent in the file before it answers", async () => {
    const { path, journal } = await fresh();
    await journal.intend(directory);
    expect(readJournal(await readFile(path, "utf8")).outstanding).toEqual([
      { ref: 1, resource: directory, since: 1000 },
    ]);
    await journal.close();
  });

  it("knows what is intended and not undone, as it was amended last", async () => {
    const { path, journal } = await fresh();
    const first = await journal.intend(directory);
    const second = await journal.intend(vmm);
    await journal.amend(second, { ...vmm, pid: 12, startTime: 34 });
    await journal.undone(first);
    const expected = [{ ref: second, resource: { ...vmm, pid: 12, startTime: 34 }, since: 1000 }];
    expect(journal.outstanding()).toEqual(expected);
    expect(readJournal(await readFile(path, "utf8")).outstanding).toEqual(expected);
    await journal.close();
  });

  it("is removed by close when nothing is outstanding, and kept otherwise", async () => {
    const clean = await fresh();
    await clean.journal.undone(await clean.journal.intend(directory));
    await clean.journal.close();
    await expect(readFile(clean.path)).rejects.toThrow(/ENOENT/);
    const dirty = await fresh();
    await dirty.journal.intend(directory);
    await dirty.journal.close();
    expect(await readFile(dirty.path, "utf8")).toContain("intent");
  });

  it("refuses to share its file with another one", async () => {
    const { path, journal } = await fresh();
    await expect(FileJournal.create(path, "s1")).rejects.toMatchObject({ code: "HostResource" });
    await journal.close();
  });

  it("keeps what has happened", async () => {
    const { path, journal } = await fresh();
    const entry = { id: 1, kind: "transition", chart: "sandbox", at: 7, name: "", to: "creating" } as const;
    journal.history(entry);
    const ref = await journal.intend(directory);
    expect(historyOf(readJournal(await readFile(path, "utf8")))).toEqual([entry]);
    await journal.undone(ref);
    await journal.close();
  });

  it("torn at any byte still tells what was written before", async () => {
    const { path, journal } = await fresh();
    await journal.intend(directory);
    await journal.intend(vmm);
    const text = await readFile(path, "utf8");
    const whole = text.indexOf("\n", text.indexOf('"ref":1')) + 1;
    for (let cut = whole; cut < text.length; cut++) {
      expect(readJournal(text.slice(0, cut)).outstanding[0]).toEqual({
        ref: 1,
        resource: directory,
        since: 1000,
      });
    }
    await journal.close();
  });

  it("keeps the last fact of each name, until it is forgotten", async () => {
    const { path, journal } = await fresh();
    const container = { bundle: "/b", namespace: "k8s.io", diskId: "d1" };
    void journal.fact("container/c1", container);
    void journal.fact("container/c2", container);
    void journal.fact("container/c1", { ...container, bundle: "/other" });
    void journal.fact("container/c2", null);
    const ref = await journal.intend(directory);
    const { facts } = readJournal(await readFile(path, "utf8"));
    expect([...facts]).toEqual([["container/c1", { ...container, bundle: "/other" }]]);
    await journal.undone(ref);
    await journal.close();
  });

  it("tells whole lines that it cannot read from a torn last one", () => {
    const whole = JSON.stringify({ type: "opened", at: 1, sandboxId: "s1" });
    const unknown = JSON.stringify({ type: "intent", at: 1, ref: 1, resource: { kind: "tap", name: "t0" } });
    const wrong = JSON.stringify({ type: "intent", at: 1, ref: 2, resource: { kind: "directory", path: 5 } });
    const { sandboxId, unreadable, outstanding } = readJournal(
      `${whole}\n${unknown}\n${wrong}\n{"type":"int`,
    );
    expect(sandboxId).toBe("s1");
    expect(unreadable).toEqual([unknown, wrong]);
    expect(outstanding).toEqual([]);
  });

  test.prop([fc.string()])("made of anything is read without a throw", (text) => {
    expect(readJournal(text).outstanding).toBeInstanceOf(Array);
  });
});
