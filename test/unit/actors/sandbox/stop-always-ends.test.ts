/** A stop ends within five seconds whatever is dead, and a removal that cannot end says what it waits for. */
import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DEFAULT_DEADLINES } from "../../../../src/contracts/deadlines.ts";
import { blazarError } from "../../../../src/contracts/errors.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { containerRequest, podSpec, putVolumes, withVolumes } from "../../../support/memory-host/pods.ts";

const STEP_MS = 50;
/** What the steps of the clock add. */
const SLACK_MS = 3 * STEP_MS;

/** Something that is dead: how it comes about and goes, and what a removal says that cannot end because of it. */
interface Dead {
  readonly cause: (memory: MemoryHost) => void;
  readonly heal: (memory: MemoryHost) => void;
  /** Undefined: it keeps nothing from being removed. */
  readonly names?: RegExp;
}

/** Work on the host that never ends, until it is let go on. */
class Hang {
  private readonly waiting: (() => void)[] = [];
  private over = false;

  wait(): Promise<void> {
    return this.over ? Promise.resolve() : new Promise((resolve) => this.waiting.push(resolve));
  }

  end(): void {
    this.over = true;
    for (const go of this.waiting) go();
  }
}

/** A port whose method does something else first. */
function before<Port extends object>(port: Port, name: keyof Port, work: () => Promise<void>): void {
  const method = port[name] as unknown as (...args: unknown[]) => Promise<unknown>;
  Object.assign(port, {
    [name]: async (...args: unknown[]) => {
      await work();
      return method.apply(port, args);
    },
  });
}

function hanging(portOf: (memory: MemoryHost) => [object, string]): Pick<Dead, "cause" | "heal"> {
  const hang = new Hang();
  return {
    cause: (memory) => {
      const [port, name] = portOf(memory);
      before(port, name as never, () => hang.wait());
    },
    heal: () => hang.end(),
  };
}

function failing(
  portOf: (memory: MemoryHost) => [object, string],
  reason: string,
): Pick<Dead, "cause" | "heal"> {
  let broken = true;
  return {
    cause: (memory) => {
      const [port, name] = portOf(memory);
      before(port, name as never, async () => {
        if (broken) throw blazarError("HostResource", name, reason);
      });
    },
    heal: () => {
      broken = false;
    },
  };
}

const DEAD: Readonly<Record<string, Dead>> = {
  "the guest is halted": {
    cause: (memory) => Object.assign(memory.driver.vm("pod").guest.faults, { silent: true }),
    heal: () => undefined,
  },
  "guest and VMM are dead (state D)": {
    cause: (memory) => {
      Object.assign(memory.driver.vm("pod").guest.faults, { silent: true });
      Object.assign(memory.driver.vm("pod").faults, { unkillable: true });
    },
    heal: (memory) => memory.driver.vm("pod").die(-1, 9),
    names: /waits for its VM to end/,
  },
  "the keeper does not answer": {
    cause: (memory) => memory.keeper.client?.disconnect(),
    heal: (memory) => memory.keeper.client?.reconnect(),
    names: /the keeper, which closes its containers' streams|stdio|process/,
  },
  "guest and keeper are dead": {
    cause: (memory) => {
      Object.assign(memory.driver.vm("pod").guest.faults, { silent: true });
      memory.keeper.client?.disconnect();
    },
    heal: (memory) => memory.keeper.client?.reconnect(),
    names: /the keeper, which closes its containers' streams|stdio|process/,
  },
  "nobody reads the containers' output": {
    cause: (memory) => {
      for (const stdio of memory.keeper.stdio.values()) stdio.output("stdout").hold();
      memory.driver.vm("pod").guest.process("c1").write("stdout", "lost in the end");
    },
    heal: () => undefined,
  },
  "the journal cannot be written": {
    cause: (memory) => {
      const full = () => Promise.reject(blazarError("HostResource", "write the journal", "ENOSPC"));
      for (const journal of memory.journals.values())
        Object.assign(journal, { intend: full, amend: full, fact: () => void full().catch(() => undefined) });
    },
    heal: () => undefined,
  },
  "a volume cannot be unmounted": {
    ...failing(({ ports }) => [ports.volumes, "unmount"], "EBUSY"),
    names: /EBUSY/,
  },
  "unmounting hangs": { ...hanging(({ ports }) => [ports.volumes, "unmount"]), names: /waits for volume/ },
  "a container's root cannot be undone": {
    ...hanging(({ ports }) => [ports.rootfs, "release"]),
    names: /waits for root of container c1/,
  },
  "a control group stays busy": {
    ...failing(({ ports }) => [ports.cgroups, "remove"], "EBUSY"),
    names: /EBUSY/,
  },
  "the network cannot be undone": {
    ...hanging(({ ports }) => [ports.networks, "disconnect"]),
    names: /waits for network of pod/,
  },
  "a directory cannot be removed": {
    ...hanging(({ ports }) => [ports.files, "removeTree"]),
    names: /waits for directory/,
  },
};

/** Lets simulated time pass, and what is asked of the real host's /proc be answered: not before it are two such questions. */
async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += STEP_MS) {
    await vi.advanceTimersByTimeAsync(STEP_MS);
    for (let question = 0; question < 2; question++) await readFile("/proc/self/stat");
  }
}

/** How something ends, with what simulated time it took. Throws if that is more than `mostMs`. */
async function inTime(work: Promise<unknown>, mostMs: number): Promise<PromiseSettledResult<unknown>> {
  let end: PromiseSettledResult<unknown> | undefined;
  void Promise.allSettled([work]).then(([first]) => {
    end = first;
  });
  for (let passed = 0; passed <= mostMs && end === undefined; passed += STEP_MS) await pass(STEP_MS);
  if (end === undefined) throw new Error(`it has not ended within ${mostMs} ms`);
  return end;
}

/** Says why it has failed, if it has. */
function expectDone(end: PromiseSettledResult<unknown>): void {
  expect(end.status === "rejected" ? String(end.reason) : "done").toBe("done");
}

async function running(): Promise<{ memory: MemoryHost; actors: ReturnType<MemoryHost["actors"]> }> {
  const memory = new MemoryHost();
  putVolumes(memory.volumes, "first");
  const actors = memory.actors();
  const { sandboxes, tasks } = actors;
  const started = (async () => {
    await sandboxes.create({ ...podSpec("pod"), netnsPath: "/run/netns/pod" });
    await sandboxes.start("pod");
    await tasks.create(withVolumes(containerRequest("pod", "c1")));
    await tasks.start("c1", "");
  })();
  await inTime(started, 5_000);
  await started;
  return { memory, actors };
}

beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date", "performance"] }));
afterEach(() => vi.useRealTimers());

describe.each(Object.entries(DEAD))("when %s", (_, { cause, heal, names }) => {
  it("a stop ends in time with its containers killed; a removal ends, or says what it waits for, and succeeds later", async () => {
    const { memory, actors } = await running();
    const { sandboxes, tasks } = actors;
    const waited = tasks.wait("c1", "");
    const ended = sandboxes.wait("pod", new AbortController().signal);
    cause(memory);
    const stopped = await inTime(sandboxes.stop("pod", 0), DEFAULT_DEADLINES.stop + SLACK_MS);
    expectDone(stopped);
    expect(await inTime(waited, SLACK_MS)).toMatchObject({ value: { exitStatus: 137 } });
    expect(await inTime(ended, SLACK_MS)).toMatchObject({ status: "fulfilled" });
    expect(sandboxes.status("pod").phase).toBe("stopped");
    const removed = await inTime(sandboxes.shutdown("pod"), DEFAULT_DEADLINES.shutdown + SLACK_MS);
    if (names !== undefined) {
      expect(removed.status === "rejected" && String(removed.reason)).toMatch(names);
      heal(memory);
      const again = await inTime(sandboxes.shutdown("pod"), DEFAULT_DEADLINES.shutdown + SLACK_MS);
      expectDone(again);
    } else expectDone(removed);
    await pass(1_000);
    expect(memory.remains()).toEqual([]);
  });
});

describe("a removal that is asked for again while the first one hangs", () => {
  it("tries once more when the first one fails in the end", async () => {
    const { memory, actors } = await running();
    const { sandboxes } = actors;
    const hang = hanging(({ ports }) => [ports.cgroups, "remove"]);
    hang.cause(memory);
    await inTime(sandboxes.stop("pod", 0), DEFAULT_DEADLINES.stop + SLACK_MS);
    const first = await inTime(sandboxes.shutdown("pod"), DEFAULT_DEADLINES.shutdown + SLACK_MS);
    expect(first.status).toBe("rejected");
    const again = sandboxes.shutdown("pod");
    // the try that hangs is to fail, and the next one not
    memory.faults.add("removeCgroup");
    hang.heal(memory);
    expectDone(await inTime(again, DEFAULT_DEADLINES.shutdown + SLACK_MS));
    expect(memory.remains()).toEqual([]);
  });
});

describe("a container that is being made in a guest that hangs", () => {
  it("is killed and deleted in time, as a containerd wants that was restarted meanwhile", async () => {
    const memory = new MemoryHost();
    const { sandboxes, tasks } = memory.actors();
    await inTime(sandboxes.create(podSpec("pod")), 1_000);
    await inTime(sandboxes.start("pod"), 5_000);
    Object.assign(memory.driver.vm("pod").guest.faults, { silent: true });
    tasks.create(containerRequest("pod", "c1")).catch(() => undefined);
    await pass(500);
    const waited = tasks.wait("c1", "");
    expectDone(await inTime(tasks.kill("c1", "", 9, true), SLACK_MS));
    expect(await inTime(waited, SLACK_MS)).toMatchObject({ value: { exitStatus: 137 } });
    const { guestKill, stop, shutdown } = DEFAULT_DEADLINES;
    await inTime(tasks.delete("c1", ""), guestKill + stop);
    await inTime(sandboxes.stop("pod", 0), stop + SLACK_MS);
    expectDone(await inTime(sandboxes.shutdown("pod"), shutdown + SLACK_MS));
    expect(memory.remains()).toEqual([]);
  });
});

describe("a start that fails and cannot be cleaned up at once", () => {
  it("says why it failed, and is cleaned up later by itself", async () => {
    const memory = new MemoryHost({ faults: () => ({ launch: "fails" }) });
    const { sandboxes } = memory.actors();
    await inTime(sandboxes.create(podSpec("pod")), 1_000);
    memory.faults.add("removeCgroup");
    const broken = failing(({ ports }) => [ports.files, "removeTree"], "EBUSY");
    broken.cause(memory);
    const started = await inTime(sandboxes.start("pod"), 10_000);
    expect(started).toMatchObject({ status: "rejected", reason: { code: "VmmFailed" } });
    expect(memory.remains()).not.toEqual([]);
    broken.heal(memory);
    await pass(31_000);
    expect(memory.remains()).toEqual([]);
    expect(sandboxes.size).toBe(0);
  });
});
