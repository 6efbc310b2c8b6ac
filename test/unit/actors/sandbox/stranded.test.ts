/** Sandboxes whose journals are lost while they run: what containerd is answered, and how they end. */
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import type { HostResource } from "../../../../src/actors/resources/kinds/kinds.ts";
import { StrandedSandboxes } from "../../../../src/actors/sandbox/stranded.ts";
import type { Actors } from "../../../../src/daemon/actors.ts";
import { CapturedLogger } from "../../../support/captured-logger.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { containerRequest, podSpec } from "../../../support/memory-host/pods.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const [LOST, OTHER] = ["a".repeat(64), "b".repeat(64)];

let folder: string;
let journal: string;

beforeEach(async () => {
  folder = await temporaryDirectory();
  journal = join(folder, `${LOST}.jsonl`);
  await writeFile(journal, "garbage\n");
});

describe("calls about a sandbox whose journal is lost", () => {
  let actors: Actors;

  beforeEach(async () => {
    actors = new MemoryHost().actors();
    await actors.sandboxes.create(podSpec("pod"));
    await actors.sandboxes.start("pod");
    await actors.tasks.create(containerRequest("pod", "c1"));
    actors.stranded.add([journal], "its journal is damaged");
  });

  it("are answered Unavailable, which ends nothing; those about other pods as ever", async () => {
    const { sandboxes, tasks } = actors;
    expect(() => sandboxes.status(LOST)).toThrow(expect.objectContaining({ kind: "unavailable" }));
    await expect(sandboxes.wait(LOST, new AbortController().signal)).rejects.toMatchObject({
      code: "JournalDamaged",
      message: expect.stringContaining("remove the pod to end it"),
    });
    await expect(sandboxes.create(podSpec(LOST))).rejects.toMatchObject({ code: "SandboxExists" });
    // containerd asks for it before it kills
    expect(tasks.state("unknown", "").status).toBe("running");
    expect(() => tasks.connect("unknown")).toThrow(expect.objectContaining({ kind: "unavailable" }));
    await expect(tasks.delete("unknown", "")).rejects.toMatchObject({ kind: "unavailable" });
    expect(sandboxes.status("pod").phase).toBe("ready");
    await tasks.start("c1", "");
    expect(tasks.state("c1", "").status).toBe("running");
    await actors.sandboxes.shutdown("pod");
  });

  it("do not keep its pod from being removed: a container that is killed has ended, and Shutdown ends the rest", async () => {
    const { sandboxes, tasks } = actors;
    const waits = [tasks.wait("unknown", ""), tasks.wait("another", "")];
    for (const wait of waits) wait.catch(() => undefined);
    await expect(tasks.kill("unknown", "", 9, false)).rejects.toMatchObject({ code: "ContainerNotFound" });
    await expect(waits[0]).rejects.toMatchObject({ code: "ContainerNotFound" });
    await expect(tasks.delete("unknown", "")).rejects.toMatchObject({ code: "ContainerNotFound" });
    await sandboxes.stop(LOST, 0);
    await sandboxes.shutdown(LOST);
    await expect(waits[1]).rejects.toMatchObject({ code: "ContainerNotFound" });
    expect(() => sandboxes.status(LOST)).toThrow(expect.objectContaining({ code: "SandboxNotFound" }));
    expect(await readdir(folder)).toEqual([`${LOST}.jsonl.unreadable`]);
    await sandboxes.shutdown("pod");
  });
});

describe("the processes of a sandbox whose journal is lost", () => {
  const signalled: string[] = [];
  const identity = { pid: 2 ** 30, startTime: 1 };

  function stranded(ids: readonly string[], ...named: HostResource[]): StrandedSandboxes {
    signalled.length = 0;
    const { ports } = new MemoryHost();
    const keeper = {
      ...ports.keeper,
      inventory: () => ({ processes: ids.map((id) => ({ id, identity })), stdio: [] }),
      signal: async (id: string) => void signalled.push(id),
      exited: async (id: string) => ({ id, code: 0, signal: 9 }),
      forget: async () => undefined,
    };
    const journals = { incomplete: false, resources: () => named };
    return new StrandedSandboxes({
      resources: { ...ports, keeper } as never,
      journals,
      logger: new CapturedLogger(),
    });
  }

  it("are all that no journal names, if it is the only one", async () => {
    const one = stranded(["warm-vm", "named", "image-0123456789ab"], { kind: "process", id: "named" });
    one.add([journal], "its journal is damaged");
    await one.stop(LOST);
    expect(signalled).toEqual(["warm-vm"]);
  });

  it("are those that the host says are its own, if there are several", async () => {
    const two = stranded([LOST, OTHER, "warm-vm"]);
    two.add([journal, join(folder, `${OTHER}.jsonl`)], "its journal is damaged");
    await two.stop(LOST);
    expect(signalled).toEqual([LOST]);
  });
});
