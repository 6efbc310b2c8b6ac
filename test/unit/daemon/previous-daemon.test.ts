/** What a starting daemon does about the journals of the one before, with files: which go on, and which are undone. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { FileJournal } from "../../../src/actors/resources/journal/journal.ts";
import type { HostResource } from "../../../src/actors/resources/kinds/kinds.ts";
import type { LeftSandbox } from "../../../src/actors/resources/known-sandbox.ts";
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import type { KeeperInventory } from "../../../src/contracts/keeper.ts";
import type { Core } from "../../../src/daemon/core.ts";
import { succeedPreviousDaemon } from "../../../src/daemon/previous-daemon.ts";
import { CapturedLogger } from "../../support/captured-logger.ts";
import { MemoryHost } from "../../support/memory-host/host.ts";
import { podSpec } from "../../support/memory-host/pods.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

let folder: string;
let logger: CapturedLogger;
/** What was done, in its order. */
let done: string[];

beforeEach(async () => {
  folder = await temporaryDirectory();
  logger = new CapturedLogger();
  done = [];
});

/** A pod that a dead daemon has left ready, or one that was not ready yet. */
async function leave(id: string, phase: "ready" | undefined, ...resources: HostResource[]): Promise<void> {
  const journal = await FileJournal.create(join(folder, `${id}.jsonl`), id);
  await journal.fact("sandbox", podSpec(id));
  if (phase !== undefined)
    await journal.fact("phase", { phase, failure: undefined, createdAt: 1, exitedAt: undefined });
  for (const resource of resources) await journal.intend(resource);
  await journal.close();
}

interface Trouble {
  /** Sandboxes that cannot be taken over. */
  readonly refuses?: readonly string[];
  /** How the keeper refuses to adopt a process. */
  readonly adopt?: BlazarError;
  readonly removeTree?: BlazarError;
}

function core({ refuses = [], removeTree }: Trouble): Core {
  const { ports } = new MemoryHost();
  const parts = {
    journals: { track: async (path: string) => void done.push(`goes on ${path.slice(folder.length + 1)}`) },
    sandboxes: {
      adopt: ({ known }: LeftSandbox) => {
        if (refuses.includes(known.spec.id)) throw blazarError("InvalidSpec", "take over", "garbage");
        done.push(`took over ${known.spec.id}`);
      },
      makeAfter: (cleared: Promise<void>) => void cleared.then(() => done.push("makes new ones")),
    },
    containers: { of: () => [] },
    keeperDeath: { found: () => undefined },
    stranded: {
      add: (paths: readonly string[]) => void done.push(...paths.map((path) => `left alone ${path}`)),
    },
    resourcePorts: {
      ...ports,
      files: {
        ...ports.files,
        removeTree: async (path: string) => {
          if (removeTree !== undefined) throw removeTree;
          done.push(`rm ${path}`);
        },
      },
    },
    images: {
      releaseLost: async (holders: ReadonlySet<string>) => {
        done.push(`images but of ${[...holders].join(" ")}`);
        return [];
      },
    },
  };
  return parts as unknown as Core;
}

async function succeed(trouble: Trouble = {}, processes: KeeperInventory["processes"] = []) {
  const keeper = {
    inventory: () => ({ processes, stdio: [] }),
    adopt: async (id: string, { pid }: { readonly pid: number }) => {
      if (trouble.adopt !== undefined) throw trouble.adopt;
      done.push(`keeper has ${id} ${pid}`);
    },
  };
  const { cleared } = await succeedPreviousDaemon(folder, core(trouble), keeper, logger);
  const known = [...done];
  return { known, left: await cleared };
}

const messages = () => logger.lines.map(({ message }) => message);
const VMM: HostResource = { kind: "process", id: "pod", pid: 4711, startTime: 1 };

describe("a daemon that comes after another", () => {
  it("finds nothing where there was none, and makes new sandboxes then", async () => {
    expect(await succeed()).toEqual({ known: [], left: [] });
    expect(done).toEqual(["images but of ", "makes new ones"]);
  });

  it("takes over what was ready, undoes the rest, and makes nothing new before", async () => {
    await leave("pod", "ready", { kind: "image", key: "k", holder: "c1" });
    await leave("half", undefined, { kind: "directory", path: "/run/half" });
    const { known, left } = await succeed();
    expect(known).toEqual(["goes on pod.jsonl", "took over pod"]);
    expect(left).toEqual([]);
    expect(done.slice(known.length)).toEqual(["rm /run/half", "images but of c1", "makes new ones"]);
    expect(await readdir(folder)).toEqual(["pod.jsonl"]);
  });

  it("undoes what it cannot take over", async () => {
    await leave("pod", "ready", { kind: "directory", path: "/run/pod" });
    await succeed({ refuses: ["pod"] });
    expect(done).toContain("rm /run/pod");
    expect(await readdir(folder)).toEqual([]);
  });

  it("names the journals that it could not undo whole, and keeps them", async () => {
    await leave("half", undefined, { kind: "directory", path: "/run/half" });
    const { left } = await succeed({ removeTree: blazarError("HostResource", "remove", "EBUSY") });
    expect(left).toEqual([join(folder, "half.jsonl")]);
    expect(await readdir(folder)).toEqual(["half.jsonl"]);
  });

  it("hands the processes of a dead keeper over to the present one, before the sandboxes are reached", async () => {
    await leave("pod", "ready", VMM);
    await succeed();
    expect(done.slice(1, 3)).toEqual(["keeper has pod 4711", "took over pod"]);
    expect(messages()).toContain("the keeper has adopted the processes of one that has died");
  });

  it("leaves to the keeper what it has already", async () => {
    await leave("pod", "ready", VMM);
    await succeed({}, [{ id: "pod", identity: { pid: 4711, startTime: 1 } }]);
    expect(done).not.toContain("keeper has pod 4711");
  });

  it.each([
    ["says nothing of a process that has ended", "ProcessNotFound", false],
    ["tells of a process that the keeper does not take, and goes on", "KeeperLost", true],
  ] as const)("%s", async (_, code, told) => {
    await leave("pod", "ready", VMM);
    await succeed({ adopt: blazarError(code, "adopt", "no") });
    expect(done).toContain("took over pod");
    const text = "a process of a dead keeper could not be handed over to this one";
    expect(messages().includes(text)).toBe(told);
  });
});
