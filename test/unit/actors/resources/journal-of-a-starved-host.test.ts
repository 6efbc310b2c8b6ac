/** A daemon that starts on a host which is short of something: no pod that runs ends by that. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { findSandboxes } from "../../../../src/actors/resources/found-journals.ts";
import { FileJournal } from "../../../../src/actors/resources/journal/journal.ts";
import { readJournal } from "../../../../src/actors/resources/journal/read-journal.ts";
import type { HostResource } from "../../../../src/actors/resources/kinds/kinds.ts";
import { CapturedLogger } from "../../../support/captured-logger.ts";
import { podSpec } from "../../../support/memory-host/pods.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

/** The errors of open(2) and of reads, and how often a read fails. */
const host = vi.hoisted(() => ({ opens: "", reads: "", failures: Number.POSITIVE_INFINITY }));

const failure = vi.hoisted(() => (code: string) => Object.assign(new Error(code), { code }));

vi.mock("node:fs", async (original) => {
  const fs = await original<typeof import("node:fs")>();
  const { promisify } = await import("node:util");
  const open = promisify(fs.open);
  const promised = async (...given: Parameters<typeof open>) => {
    if (host.opens !== "") throw failure(host.opens);
    return open(...given);
  };
  return { ...fs, open: Object.assign(() => undefined, { [promisify.custom]: promised }) };
});

vi.mock("node:fs/promises", async (original) => {
  const fs = await original<typeof import("node:fs/promises")>();
  const read = (async (...given: Parameters<typeof fs.readFile>) => {
    if (host.reads !== "" && host.failures-- > 0) throw failure(host.reads);
    return fs.readFile(...given);
  }) as typeof fs.readFile;
  return { ...fs, readFile: read };
});

beforeEach(() => Object.assign(host, { opens: "", reads: "", failures: Number.POSITIVE_INFINITY }));

/** It has nothing. */
const NO_KEEPER = { inventory: () => ({ processes: [], stdio: [] }) };
const directory: HostResource = { kind: "directory", path: "/run/pod" };
const read = async (path: string) => readJournal(await readFile(path, "utf8"));

/** The journal of a pod that runs, whose daemon has died. */
async function left() {
  const folder = await temporaryDirectory();
  const path = join(folder, "pod.jsonl");
  const journal = await FileJournal.create(path, "pod");
  await journal.intend(directory);
  await journal.fact("sandbox", podSpec("pod"));
  await journal.fact("phase", { phase: "ready", failure: undefined, createdAt: 1, exitedAt: undefined });
  await journal.close();
  return { folder, path };
}

describe("a journal that the host cannot open now", () => {
  it.each(["ENOSPC", "EACCES", "EMFILE", "EROFS"])(
    "is taken over all the same (%s), and is written when it can be",
    async (code) => {
      const { folder, path } = await left();
      host.opens = code;
      const logger = new CapturedLogger();
      const { adoptable, leftover, unread } = await findSandboxes(folder, NO_KEEPER, logger);
      expect({ leftover, unread }).toEqual({ leftover: [], unread: [] });
      expect(logger.lines).toMatchObject([{ level: "error", fields: { journal: path } }]);
      const [{ journal } = { journal: undefined }] = adoptable;
      const [outstanding] = journal?.outstanding() ?? [];
      expect(outstanding?.resource).toEqual(directory);
      await expect(journal?.intend({ kind: "process", id: "pod" })).rejects.toMatchObject({
        code: "HostResource",
      });
      await journal?.undone(outstanding?.ref ?? 0);
      host.opens = "";
      await journal?.intend({ kind: "cgroups", directories: ["/g"] });
      const after = await read(path);
      expect(after.outstanding.map(({ resource }) => resource.kind)).toEqual(["cgroups"]);
      expect(after.unreadable).toEqual([]);
      await journal?.close();
    },
  );

  it("can be closed, and stays for the next daemon if something is outstanding", async () => {
    const { folder, path } = await left();
    host.opens = "EMFILE";
    const journal = await FileJournal.reopen(path, await read(path));
    expect(journal.trouble).toMatchObject({ code: "EMFILE" });
    await journal.close();
    expect(await readdir(folder)).toEqual(["pod.jsonl"]);
  });

  it("is refused if it is something else than a file of ours", async () => {
    const { path } = await left();
    host.opens = "ELOOP";
    await expect(FileJournal.reopen(path, await read(path))).rejects.toMatchObject({ code: "HostResource" });
  });
});

describe("a journal that the host cannot read now", () => {
  it("is read a moment later", async () => {
    const { folder } = await left();
    Object.assign(host, { reads: "EMFILE", failures: 2 });
    const { adoptable } = await findSandboxes(folder, NO_KEEPER, new CapturedLogger());
    expect(adoptable).toHaveLength(1);
    await adoptable[0]?.journal.close();
  });

  it("is left alone otherwise: it is neither taken over nor undone", async () => {
    const { folder, path } = await left();
    host.reads = "EIO";
    const { adoptable, unread, leftover } = await findSandboxes(folder, NO_KEEPER, new CapturedLogger());
    expect({ adoptable, unread, leftover }).toEqual({ adoptable: [], unread: [path], leftover: [] });
    host.reads = "";
    expect((await read(path)).sandboxId).toBe("pod");
  });
});
