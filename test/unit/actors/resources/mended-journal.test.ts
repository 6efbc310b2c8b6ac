/** A journal that was damaged is mended by its copy, whatever the damage; what both lack is never guessed. */
import {
  appendFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { findSandboxes } from "../../../../src/actors/resources/found-journals.ts";
import { FileJournal } from "../../../../src/actors/resources/journal/journal.ts";
import { COPIES, copyPath } from "../../../../src/actors/resources/journal/journal-copy.ts";
import type { HostResource } from "../../../../src/actors/resources/kinds/kinds.ts";
import { recover } from "../../../../src/actors/resources/recovery.ts";
import type { KeeperInventory } from "../../../../src/contracts/keeper.ts";
import { CapturedLogger } from "../../../support/captured-logger.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { podSpec } from "../../../support/memory-host/pods.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const POD = "a".repeat(64);
const OTHER = "b".repeat(64);
const process = (id: string): HostResource => ({ kind: "process", id });
const directory = (id: string): HostResource => ({ kind: "directory", path: `/run/${id}` });

let folder: string;
let logger: CapturedLogger;

beforeEach(async () => {
  folder = await temporaryDirectory();
  await mkdir(join(folder, COPIES));
  logger = new CapturedLogger();
});

const fileOf = (id: string) => join(folder, `${id}.jsonl`);

/** A pod that runs, whose daemon has died. */
async function leave(id: string): Promise<void> {
  const journal = await FileJournal.create(fileOf(id), id);
  await journal.intend(directory(id));
  const undone = await journal.intend({ kind: "file", path: `/run/${id}.tmp` });
  const vmm = await journal.intend(process(id));
  await journal.amend(vmm, process(id));
  await journal.fact("sandbox", podSpec(id));
  await journal.undone(undone);
  await journal.fact("phase", { phase: "ready", failure: undefined, createdAt: 1, exitedAt: undefined });
  journal.history({ id: 1, kind: "state", name: "ready" } as never);
  await journal.close();
}

/** What the keeper has: each pod's VMM. */
const keeper = (...ids: string[]) => ({
  inventory: (): KeeperInventory => ({
    processes: ids.map((id) => ({ id, identity: { pid: 1, startTime: 1 } })),
    stdio: [],
  }),
});

async function found(...running: string[]) {
  const all = await findSandboxes(folder, keeper(...running), logger);
  const adopted = all.adoptable.map(({ known, journal }) => ({
    id: known.spec.id,
    held: journal.outstanding().map(({ resource }) => resource),
  }));
  await Promise.all(all.adoptable.map(({ journal }) => journal.close()));
  const names = (paths: readonly string[]) => paths.map((path) => path.slice(folder.length + 1));
  return { adopted, stranded: names(all.stranded), leftover: names(all.leftover), unread: names(all.unread) };
}

const WHOLE = { id: POD, held: [directory(POD), process(POD)] };

const DAMAGES: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  "0 bytes": (path) => truncate(path, 0),
  "torn in its middle": async (path) => truncate(path, Math.floor((await stat(path)).size / 2)),
  garbage: (path) => writeFile(path, "no journal at all\n{}\n[1]\n"),
  binary: (path) =>
    writeFile(path, Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 7) % 256))),
  "one line of garbage instead of a fact": async (path) =>
    writeFile(path, (await readFile(path, "utf8")).replace(/^.*"name":"sandbox".*$/m, "garbage")),
  "a line lost": async (path) =>
    writeFile(path, (await readFile(path, "utf8")).replace(/^.*"name":"phase".*\n/m, "")),
  "all lines twice": async (path) => appendFile(path, await readFile(path)),
  "another sandbox's journal instead": async (path) => writeFile(path, await readFile(fileOf(OTHER))),
  "another sandbox's journal after it": async (path) => appendFile(path, await readFile(fileOf(OTHER))),
  "of another version": async (path) =>
    writeFile(path, (await readFile(path, "utf8")).replace('"version":1', '"version":99')),
  removed: (path) => rm(path),
  "a directory in its place": async (path) => {
    await rm(path);
    await mkdir(path);
  },
};

describe("a damaged journal of a pod that runs", () => {
  it.each(Object.keys(DAMAGES))("is mended by its copy: %s", async (damage) => {
    await leave(POD);
    await leave(OTHER);
    await DAMAGES[damage]?.(fileOf(POD));
    const { adopted, ...rest } = await found(POD, OTHER);
    expect(rest).toEqual({ stranded: [], leftover: [], unread: [] });
    expect(adopted).toContainEqual(WHOLE);
    expect(adopted).toContainEqual({ id: OTHER, held: [directory(OTHER), process(OTHER)] });
    expect(logger.lines).toContainEqual(
      expect.objectContaining({ level: "error", fields: { journal: fileOf(POD) } }),
    );
    logger.lines.length = 0;
    // and the next daemon finds nothing to mend
    expect((await found(POD, OTHER)).adopted).toContainEqual(WHOLE);
    expect(logger.lines).toEqual([]);
  });

  it("goes on with what came after its copy's last line", async () => {
    await leave(POD);
    const text = await readFile(fileOf(POD), "utf8");
    const line = JSON.stringify({ type: "intent", at: 1, ref: 7, resource: { kind: "file", path: "/late" } });
    await writeFile(fileOf(POD), `${text.replace(/^.*"name":"sandbox".*$/m, "garbage")}${line}\n`);
    const { adopted } = await found(POD);
    expect(adopted).toEqual([{ id: POD, held: [...WHOLE.held, { kind: "file", path: "/late" }] }]);
  });

  it("counts alone where its copy is damaged", async () => {
    await leave(POD);
    for (const damage of ["", "garbage", '{"type":"opened","at":1,"sandboxId":"x"}\n']) {
      await writeFile(copyPath(fileOf(POD)), damage);
      expect((await found(POD)).adopted).toEqual([WHOLE]);
    }
    expect(logger.lines).toEqual([]);
  });
});

describe("a journal that is damaged beyond mending", () => {
  const spoil = async (text: string) => {
    await leave(POD);
    await writeFile(fileOf(POD), text);
    await rm(copyPath(fileOf(POD)));
  };

  it.each(["", "garbage\n", "\u0000\u0001"])(
    "is left alone while something runs that may be its pod's",
    async (text) => {
      await spoil(text);
      expect(await found(POD)).toEqual({ adopted: [], stranded: [`${POD}.jsonl`], leftover: [], unread: [] });
      expect(await found()).toMatchObject({ stranded: [], leftover: [`${POD}.jsonl`] });
    },
  );

  it("does not have another pod's things undone", async () => {
    await leave(OTHER);
    await spoil(await readFile(fileOf(OTHER), "utf8"));
    await rm(copyPath(fileOf(OTHER)));
    await rename(fileOf(OTHER), join(folder, "moved away"));
    const { stranded, leftover } = await found(OTHER);
    expect({ stranded, leftover }).toEqual({ stranded: [`${POD}.jsonl`], leftover: [] });
  });
});

describe("a later daemon's journal", () => {
  const later = async () => {
    await leave(POD);
    for (const path of [fileOf(POD), copyPath(fileOf(POD))])
      await writeFile(path, (await readFile(path, "utf8")).replace('"version":1', '"version":99'));
  };

  it("keeps this one from starting while its pod runs, and is not touched", async () => {
    await later();
    const before = await readFile(fileOf(POD), "utf8");
    await expect(found(POD)).rejects.toMatchObject({ code: "ProtocolVersion" });
    expect(await readFile(fileOf(POD), "utf8")).toBe(before);
  });

  it("is a leftover like any other when nothing of it runs", async () => {
    await later();
    expect(await found()).toMatchObject({ leftover: [`${POD}.jsonl`] });
  });
});

describe("a journal's copy", () => {
  it("has no history, and is gone before its journal is", async () => {
    await leave(POD);
    const copy = await readFile(copyPath(fileOf(POD)), "utf8");
    expect(copy).not.toContain('"history"');
    expect(copy).toContain('"phase"');
    await recover(folder, new MemoryHost().ports, logger);
    expect(await readdir(folder)).toEqual([COPIES]);
    expect(await readdir(join(folder, COPIES))).toEqual([]);
  });

  it("is as whole as its journal in every later daemon, and what was damaged goes with the journal", async () => {
    await leave(POD);
    for (let life = 1; life <= 3; life++) {
      const { adoptable } = await findSandboxes(folder, keeper(POD), logger);
      await adoptable[0]?.journal.amend(3, process(POD));
      await adoptable[0]?.journal.intend({ kind: "file", path: `/run/${life}` });
      await adoptable[0]?.journal.close();
    }
    expect(logger.lines).toEqual([]);
    await truncate(fileOf(POD), 10);
    const { adopted } = await found(POD);
    expect(adopted[0]?.held).toEqual([
      ...WHOLE.held,
      ...[1, 2, 3].map((n) => ({ kind: "file", path: `/run/${n}` })),
    ]);
    expect((await readdir(folder)).sort()).toEqual([`${POD}.jsonl`, `${POD}.jsonl.damaged`, COPIES].sort());
    const { adoptable } = await findSandboxes(folder, keeper(POD), logger);
    const journal = adoptable[0]?.journal;
    for (const { ref } of journal?.outstanding() ?? []) await journal?.undone(ref);
    await journal?.close();
    expect(await readdir(folder)).toEqual([COPIES]);
    expect(await readdir(join(folder, COPIES))).toEqual([]);
  });

  it("is written anew when it could not be written", async () => {
    const journal = await FileJournal.create(fileOf(POD), POD);
    await rm(join(folder, COPIES), { recursive: true });
    await journal.intend(directory(POD));
    await journal.close();
    await mkdir(join(folder, COPIES));
    await leave(OTHER);
    expect(await readFile(copyPath(fileOf(OTHER)), "utf8")).toContain("/run/");
  });
});
