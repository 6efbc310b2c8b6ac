/** Many sandboxes that are made at once: a few at a time, so that the event loop's turns stay short. */
import { describe, expect, it } from "vitest";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { podSpec } from "../../../support/memory-host/pods.ts";

/** A host on which making a directory takes until `go` is called; tells how many are being made. */
function slowHost() {
  const memory = new MemoryHost();
  const waiting: (() => void)[] = [];
  const { makeDirectory } = memory.ports.files;
  const slow = async (...args: Parameters<typeof makeDirectory>) => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    return makeDirectory(...args);
  };
  Object.assign(memory.ports.files, { makeDirectory: slow });
  return { memory, sandboxes: memory.actors().sandboxes, waiting };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("sandboxes that are made at once", () => {
  it("are made a few at a time, all of them in the end", async () => {
    const { memory, sandboxes, waiting } = slowHost();
    const made = Promise.all(Array.from({ length: 20 }, (_, i) => sandboxes.create(podSpec(`s${i}`))));
    let most = 0;
    for (let done = 0; done < 20; done++) {
      await settled();
      most = Math.max(most, waiting.length);
      waiting.shift()?.();
    }
    await made;
    expect(most).toBeLessThan(10);
    await sandboxes.drain();
    expect(memory.remains()).toEqual([]);
  });

  it("are not made any more if they are given up while they wait", async () => {
    const { memory, sandboxes, waiting } = slowHost();
    const made = Promise.all(Array.from({ length: 10 }, (_, i) => sandboxes.create(podSpec(`s${i}`))));
    const giveUp = new AbortController();
    const outcome = expect(sandboxes.create(podSpec("late"), giveUp.signal)).rejects.toMatchObject({
      code: "Cancelled",
    });
    giveUp.abort();
    await outcome;
    expect(memory.journals.has("late")).toBe(false);
    for (let done = 0; done < 10; done++) {
      await settled();
      waiting.shift()?.();
    }
    await made;
    await sandboxes.drain();
    expect(memory.remains()).toEqual([]);
  });
});
