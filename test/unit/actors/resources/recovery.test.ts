import { appendFile, mkdir, readdir, readFile, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FileJournal } from "../../../../src/actors/resources/journal/journal.ts";
import type { ResourcePorts } from "../../../../src/actors/resources/kinds/kind.ts";
import type { HostResource } from "../../../../src/actors/resources/kinds/kinds.ts";
import { recover } from "../../../../src/actors/resources/recovery.ts";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { KeeperInventory } from "../../../../src/contracts/keeper.ts";
import type { RootfsPlan } from "../../../../src/contracts/storage.ts";
import { CapturedLogger } from "../../../support/captured-logger.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const plan: RootfsPlan = {
  containerId: "c1",
  lower: undefined,
  disk: { path: "/disk", filesystem: "ext4", owned: true, readonly: false, kept: false },
  guest: { kind: "layers", path: "c1/rootfs", readonly: false },
  owner: undefined,
};
const directory: HostResource = { kind: "directory", path: "/run/s1" };
const cgroups: HostResource = { kind: "cgroups", directories: ["/sys/fs/cgroup/x"] };
const network: HostResource = { kind: "network", id: "s1", netnsPath: "/run/netns/s1" };
const rootfs: HostResource = { kind: "rootfs", plan };
const paths = { stdin: "", stdout: "/fifo", stderr: "" };

/** Ports that note what they are asked, around a keeper that holds what is given. */
function ports(inventory: Partial<KeeperInventory> = {}, failing?: string) {
  const done: string[] = [];
  const note = async (what: string) => {
    if (what === failing) throw blazarError("HostResource", "undo", "busy");
    done.push(what);
  };
  const undo: ResourcePorts = {
    ...new MemoryHost().ports,
    keeper: {
      inventory: () => ({ processes: [], stdio: [], ...inventory }),
      signal: (id, signal) => note(`signal ${id} ${signal}`),
      exited: async (id) => ({ id, code: -1, signal: 9 }),
      forget: (id) => note(`forget ${id}`),
      openStdio: async (id) => {
        await note(`open ${id}`);
        const nothing = () => undefined;
        return {
          data: nothing,
          end: nothing,
          acknowledgeInput: nothing,
          closeInput: async () => undefined,
          close: () => note(`close ${id}`),
        };
      },
    },
    files: { removeTree: (path) => note(`rm ${path}`), removeFile: (path) => note(`unlink ${path}`) },
    rootfs: { release: ({ containerId }) => note(`release ${containerId}`) },
    images: { release: (key, holder) => note(`release ${key} of ${holder}`) },
    cgroups: { remove: ([first]) => note(`rmdir ${first}`) },
    networks: { disconnect: ({ id }) => note(`disconnect ${id}`) },
  };
  return { done, undo };
}

/** What a daemon leaves that dies after these intents. */
async function leave(...resources: HostResource[]) {
  const folder = await temporaryDirectory();
  const journal = await FileJournal.create(join(folder, "s1.jsonl"), "s1");
  for (const resource of resources) await journal.intend(resource);
  await journal.close();
  return folder;
}

/** As if the journal had been begun with other facts about itself. */
async function reopened(folder: string, opened: object): Promise<void> {
  const file = join(folder, "s1.jsonl");
  const [first = "", ...rest] = (await readFile(file, "utf8")).split("\n");
  await writeFile(file, [JSON.stringify({ ...JSON.parse(first), ...opened }), ...rest].join("\n"));
}

describe("the recovery of a dead daemon's sandboxes", () => {
  it("undoes what has no undo, newest first, removes the journal and says what it did", async () => {
    const folder = await leave(directory, network, cgroups, rootfs);
    const { done, undo } = ports();
    await recover(folder, undo, new CapturedLogger());
    expect(done).toEqual(["release c1", "rmdir /sys/fs/cgroup/x", "disconnect s1", "rm /run/s1"]);
    expect(await readdir(folder)).toEqual([]);
  });

  it("gives back the image that a warm VM had ahead, whoever has adopted the VM", async () => {
    const folder = await leave(
      { kind: "process", id: "pool-1" },
      { kind: "image", key: "k", holder: "pool-1" },
    );
    const { done, undo } = ports();
    await recover(folder, undo, new CapturedLogger());
    expect(done).toEqual(["release k of pool-1"]);
    expect(await readdir(folder)).toEqual([]);
  });

  it("says what was there, and nothing of what was gone already", async () => {
    const there = join(await temporaryDirectory(), "there");
    await mkdir(there);
    const folder = await leave(directory, { kind: "directory", path: there }, network);
    const logger = new CapturedLogger();
    await recover(folder, ports().undo, logger);
    expect(logger.lines[0]?.fields["undone"]).toEqual([
      "network of s1 (/run/netns/s1)",
      `directory ${there}`,
    ]);
  });

  it("keeps a journal aside that has lines it cannot read, after it has undone the rest", async () => {
    const folder = await leave(directory);
    const line = JSON.stringify({ type: "intent", at: 1, ref: 9, resource: { kind: "tap", name: "tap0" } });
    await appendFile(join(folder, "s1.jsonl"), `${line}\n`);
    const { done, undo } = ports();
    const logger = new CapturedLogger();
    await recover(folder, undo, logger);
    expect(done).toEqual(["rm /run/s1"]);
    expect(await readdir(folder)).toEqual(["s1.jsonl.unreadable"]);
    expect(await readFile(join(folder, "s1.jsonl.unreadable"), "utf8")).toContain("tap0");
    expect(logger.lines.at(-1)).toMatchObject({ level: "error" });
    // and the next start leaves it alone
    await recover(folder, undo, logger);
    expect(await readdir(folder)).toEqual(["s1.jsonl.unreadable"]);
  });

  it("undoes of a journal of another boot only what is on a disk", async () => {
    const folder = await leave(directory, cgroups, network, rootfs, { kind: "process", id: "s1" });
    await reopened(folder, { boot: "another" });
    const processes = [{ id: "s1", identity: { pid: 1, startTime: 1 } }];
    const { done, undo } = ports({ processes });
    await recover(folder, undo, new CapturedLogger());
    expect(done).toEqual(["release c1", "rm /run/s1"]);
    expect(await readdir(folder)).toEqual([]);
  });

  it("keeps a journal of a later version aside, after it has undone what it can read", async () => {
    const folder = await leave(directory);
    await reopened(folder, { version: 99 });
    const { done, undo } = ports();
    const logger = new CapturedLogger();
    await recover(folder, undo, logger);
    expect(done).toEqual(["rm /run/s1"]);
    expect(await readdir(folder)).toEqual(["s1.jsonl.unreadable"]);
    expect(logger.lines.at(-1)).toMatchObject({ level: "error" });
  });

  it("does not replace a file that was kept aside before", async () => {
    const folder = await leave(directory);
    await writeFile(join(folder, "s1.jsonl.unreadable"), "of an earlier start");
    await appendFile(join(folder, "s1.jsonl"), "garbage\n");
    await recover(folder, ports().undo, new CapturedLogger());
    expect((await readdir(folder)).sort()).toEqual(["s1.jsonl.unreadable", "s1.jsonl.unreadable-2"]);
    expect(await readFile(join(folder, "s1.jsonl.unreadable"), "utf8")).toBe("of an earlier start");
  });

  it("keeps aside what cannot be read at all, and goes on with the rest", async () => {
    const folder = await leave(directory);
    await mkdir(join(folder, "directory.jsonl"));
    await symlink("/nonexistent", join(folder, "link.jsonl"));
    await writeFile(join(folder, "too-long.jsonl"), "");
    await truncate(join(folder, "too-long.jsonl"), 2 ** 32);
    const { done, undo } = ports();
    const logger = new CapturedLogger();
    await recover(folder, undo, logger);
    expect(done).toEqual(["rm /run/s1"]);
    const kept = ["directory", "link", "too-long"].map((name) => `${name}.jsonl.unreadable`);
    expect((await readdir(folder)).sort()).toEqual(kept);
    const told = logger.lines
      .filter(({ level }) => level === "error")
      .map(({ fields }) => fields["keptAside"]);
    expect(told.sort()).toEqual(kept.map((name) => join(folder, name)));
  });

  it("kills VMMs that the keeper still has and closes stdio that it still holds", async () => {
    const folder = await leave({ kind: "process", id: "s1" }, { kind: "stdio", id: "c1/", paths });
    const identity = { pid: 12, startTime: 3 };
    const { done, undo } = ports({ processes: [{ id: "s1", identity }], stdio: ["c1/"] });
    await recover(folder, undo, new CapturedLogger());
    expect(done).toEqual(["signal s1 9", "forget s1", "open c1/", "close c1/"]);
  });

  it("leaves a process alone that has only the pid of ours", async () => {
    const folder = await leave({ kind: "process", id: "s1", pid: process.pid, startTime: 1 });
    const { undo } = ports();
    await recover(folder, undo, new CapturedLogger());
    // this very process is still here to tell
    expect(await readdir(folder)).toEqual([]);
  });

  it("keeps the journal of what could not be undone, and goes on with the rest", async () => {
    const folder = await leave(directory, cgroups);
    const { done, undo } = ports({}, "rmdir /sys/fs/cgroup/x");
    const logger = new CapturedLogger();
    await recover(folder, undo, logger);
    expect(done).toEqual(["rm /run/s1"]);
    expect(await readdir(folder)).toEqual(["s1.jsonl"]);
    expect(logger.lines.at(-1)).toMatchObject({
      level: "error",
      fields: { resource: "cgroups /sys/fs/cgroup/x" },
    });
  });
});
