/** Many sandboxes that are made at once: a few at a time, so that the event loop's turns stay short. */
import { describe, expect, it } from "vitest";
import { SandboxRuntime } from "../../../../src/actors/sandbox/sandbox.actor.ts";
import { poolSpec } from "../../../../src/actors/supply/pool.actor.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";

/** A host on which making a directory takes until `go` is called; tells how many are being made. */
function slowHost() {
  const memory = new MemoryHost();
  const waiting: (() => void)[] = [];
  const { makeDirectory } = memory.host.files;
  const files = {
    ...memory.host.files,
    makeDirectory: async (...args: Parameters<typeof makeDirectory>) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return makeDirectory(...args);
    },
  };
  return { host: { ...memory.host, files }, waiting };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("sandboxes that are made at once", () => {
  it("are made a few at a time, all of them in the end", async () => {
    const { host, waiting } = slowHost();
    const sandboxes = Array.from({ length: 20 }, (_, i) => new SandboxRuntime(poolSpec(`s${i}`), host));
    const made = Promise.all(sandboxes.map((each) => each.provision(new AbortController().signal)));
    let most = 0;
    for (let done = 0; done < sandboxes.length; done++) {
      await settled();
      most = Math.max(most, waiting.length);
      waiting.shift()?.();
    }
    await made;
    expect(most).toBeLessThan(10);
    await Promise.all(sandboxes.map((each) => each.destroy()));
  });

  it("are not made any more if they are given up while they wait", async () => {
    const { host, waiting } = slowHost();
    const first = Array.from({ length: 10 }, (_, i) => new SandboxRuntime(poolSpec(`s${i}`), host));
    const made = Promise.all(first.map((each) => each.provision(new AbortController().signal)));
    const late = new SandboxRuntime(poolSpec("late"), host);
    const giveUp = new AbortController();
    const outcome = expect(late.provision(giveUp.signal)).rejects.toMatchObject({ code: "Cancelled" });
    giveUp.abort();
    await outcome;
    expect(late.journalOpen).toBe(false);
    for (let done = 0; done < first.length; done++) {
      await settled();
      waiting.shift()?.();
    }
    await made;
  });
});
