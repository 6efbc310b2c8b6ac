/** A journal whose writes fail, as on a full file system: at any byte, and with space again later. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fc, test } from "@fast-check/vitest";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { FileJournal } from "../../../../src/actors/resources/journal/journal.ts";
import { readJournal } from "../../../../src/actors/resources/journal/read-journal.ts";
import type { HostResource } from "../../../../src/actors/resources/kinds/kinds.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

/** Bytes that may still be written, and whether a file can be cut. */
const disk = vi.hoisted(() => ({ space: Number.POSITIVE_INFINITY, cuts: true }));

vi.mock("node:fs", async (original) => {
  const { writeSync, ftruncateSync, ...fs } = await original<typeof import("node:fs")>();
  const { promisify } = await import("node:util");
  const fail = (code: string) => {
    throw Object.assign(new Error(`${code}: no space left on device`), { code });
  };
  // write(2) writes what there is room for, and only the next call fails
  const write = (file: number, bytes: Uint8Array) => {
    if (disk.space === 0) fail("ENOSPC");
    const count = writeSync(file, bytes.subarray(0, disk.space));
    disk.space -= count;
    return count;
  };
  const promised = async (file: number, bytes: Uint8Array) => ({ bytesWritten: write(file, bytes) });
  const cut = async (file: number, length: number) => (disk.cuts ? ftruncateSync(file, length) : fail("EIO"));
  return {
    ...fs,
    ...{ writeSync: write, ftruncateSync },
    write: Object.assign(() => undefined, { [promisify.custom]: promised }),
    ftruncate: Object.assign(() => undefined, { [promisify.custom]: cut }),
  };
});

beforeEach(() => {
  disk.space = Number.POSITIVE_INFINITY;
  disk.cuts = true;
});

function directory(path: string): HostResource {
  return { kind: "directory", path };
}

async function fresh() {
  const folder = await temporaryDirectory();
  const path = join(folder, "s1.jsonl");
  return { folder, path, journal: await FileJournal.create(path, "s1") };
}

const read = async (path: string) => readJournal(await readFile(path, "utf8"));

describe("a journal on a full file system", () => {
  it("that cannot be started leaves no file", async () => {
    const folder = await temporaryDirectory();
    disk.space = 0;
    const create = FileJournal.create(join(folder, "s1.jsonl"), "s1");
    await expect(create).rejects.toMatchObject({ code: "HostResource" });
    expect(await readdir(folder)).toEqual([]);
  });

  it("holds nothing whose intent could not be written, and is removed by close", async () => {
    const { folder, journal } = await fresh();
    disk.space = 0;
    await expect(journal.intend(directory("/run/s1"))).rejects.toMatchObject({ code: "HostResource" });
    expect(journal.outstanding()).toEqual([]);
    await journal.close();
    expect(await readdir(folder)).toEqual([]);
  });

  it.each([true, false])(
    "goes on when there is space again, on a line of its own (cuts: %s)",
    async (cuts) => {
      const { path, journal } = await fresh();
      Object.assign(disk, { space: 30, cuts });
      await expect(journal.intend(directory("/never/made"))).rejects.toMatchObject({ code: "HostResource" });
      disk.space = Number.POSITIVE_INFINITY;
      await journal.intend(directory("/made"));
      expect(journal.outstanding()).toMatchObject([{ resource: directory("/made") }]);
      expect((await read(path)).outstanding).toEqual(journal.outstanding());
      await journal.close();
    },
  );

  it("writes an undo and a fact later that could not be written", async () => {
    const { path, journal } = await fresh();
    const gone = await journal.intend(directory("/gone"));
    const stays = await journal.intend({ kind: "process", id: "s1" });
    disk.space = 0;
    await journal.undone(gone);
    const fact = journal.fact("container/c1", { bundle: "/b", namespace: undefined, diskId: "d" });
    await expect(fact).rejects.toMatchObject({ code: "HostResource" });
    await expect(
      journal.amend(stays, { kind: "process", id: "s1", pid: 7, startTime: 8 }),
    ).rejects.toBeDefined();
    disk.space = Number.POSITIVE_INFINITY;
    journal.history({ id: 1, kind: "note", at: 1, name: "space again" });
    await journal.close();
    const { outstanding, facts } = await read(path);
    expect(outstanding).toMatchObject([{ resource: { kind: "process", pid: 7 } }]);
    expect([...facts.keys()]).toEqual(["container/c1"]);
  });

  it("writes what it owes before it closes, and by itself after a while", async () => {
    vi.useFakeTimers();
    try {
      const { path, journal } = await fresh();
      const gone = await journal.intend(directory("/gone"));
      await journal.intend(directory("/stays"));
      disk.space = 0;
      await journal.undone(gone);
      expect((await read(path)).outstanding).toHaveLength(2);
      disk.space = Number.POSITIVE_INFINITY;
      await vi.advanceTimersByTimeAsync(6000);
      await vi.waitFor(async () => expect((await read(path)).outstanding).toHaveLength(1));
      await journal.close();
    } finally {
      vi.useRealTimers();
    }
  });

  const step = fc.oneof(
    fc.record({ make: fc.integer({ min: 0, max: 9 }) }),
    fc.record({ undo: fc.nat(9) }),
    fc.record({ amend: fc.nat(9) }),
    fc.record({ fact: fc.nat(9) }),
    fc.record({ space: fc.oneof(fc.nat(400), fc.constant(Number.POSITIVE_INFINITY)) }),
    fc.record({ cuts: fc.boolean() }),
  );

  test.prop([fc.array(step, { maxLength: 40 })], { numRuns: 300 })(
    "forgets no resource that was made, wherever the space ends and whenever the daemon dies",
    async (steps) => {
      Object.assign(disk, { space: Number.POSITIVE_INFINITY, cuts: true });
      const { path, journal } = await fresh();
      const made = new Map<number, string>();
      let count = 0;
      for (const each of steps) {
        if ("space" in each) disk.space = each.space;
        if ("cuts" in each) disk.cuts = each.cuts;
        if ("make" in each) {
          const name = `/made/${count++}/${"x".repeat(each.make)}`;
          // made only if the intent is in the file
          await journal.intend(directory(name)).then(
            (ref) => made.set(ref, name),
            () => undefined,
          );
        }
        const [ref, name] = [...made]["undo" in each ? each.undo : -1] ?? [];
        if (ref !== undefined) {
          made.delete(ref);
          await journal.undone(ref);
        }
        const [changed = -1] = [...made]["amend" in each ? each.amend : -1] ?? [];
        if (changed >= 0)
          await journal.amend(changed, directory(`${made.get(changed)}`)).catch(() => undefined);
        if ("fact" in each)
          await journal
            .fact(`container/${each.fact}`, { bundle: "/b", namespace: undefined, diskId: `${count}` })
            .catch(() => undefined);
        // the daemon dies here: what was made is in the file
        const named = (await read(path)).outstanding.map(
          ({ resource }) => "path" in resource && resource.path,
        );
        for (const there of made.values()) expect(named, name).toContain(there);
        expect(journal.outstanding().map(({ resource }) => "path" in resource && resource.path)).toEqual([
          ...made.values(),
        ]);
      }
      // with space again the file says what the journal does
      Object.assign(disk, { space: Number.POSITIVE_INFINITY, cuts: true });
      const last = await journal.intend(directory("/last"));
      expect((await read(path)).outstanding.map(({ ref }) => ref)).toEqual([...made.keys(), last]);
      await journal.close();
    },
    60_000,
  );
});
