/** What an earlier daemon has recorded of a sandbox goes on: in its order, checked, and without loose ends. */
import { describe, expect, it } from "vitest";
import { earlierEntries, earlierOrigin } from "../../../../src/observe/history/earlier.ts";

const entry = (id: number, more: object = {}) => ({
  id,
  kind: "transition",
  at: 10 * id,
  name: `n${id}`,
  ...more,
});

describe("the history of an earlier daemon", () => {
  it("has each entry once, in the order in which they were recorded, whatever the clock said", () => {
    const recorded = [entry(1), entry(3, { at: 5 }), entry(2), entry(3, { at: 5, name: "again" })];
    expect(earlierEntries(recorded).map(({ id, name }) => [id, name])).toEqual([
      [1, "n1"],
      [3, "again"],
      [2, "n2"],
    ]);
  });

  it("leaves out what is no entry", () => {
    const recorded = [undefined, "text", {}, entry(0), { ...entry(4), kind: 7 }, entry(5)];
    expect(earlierEntries(recorded).map(({ id }) => id)).toEqual([5]);
  });

  it("ends what was under way with the last that it has caused, as cut off", () => {
    const recorded = [entry(2, { cause: 1, chart: "sandbox" }), entry(3, { cause: 1, ms: 7 }), entry(4)];
    const entries = earlierEntries(recorded);
    expect(entries.map(({ id }) => id)).toEqual([2, 3, 1, 4]);
    expect(entries[2]).toMatchObject({
      at: 20,
      ms: 17,
      chart: "sandbox",
      error: "cut off: the daemon ended",
    });
  });

  it("tells where the VM came from: by what has succeeded last of its boot", () => {
    const effect = (id: number, name: string, more: object = {}) =>
      entry(id, { kind: "effect", chart: "boot", name, ms: 5, ...more });
    const origin = (...entries: object[]) => earlierOrigin(earlierEntries(entries));
    const fallback = effect(1, "adopt", { error: "the original is gone" });
    expect(origin(effect(1, "adopt"))).toBe("warm");
    expect(origin(fallback, effect(2, "fork"), effect(3, "connectAgent"))).toBe("fork");
    expect(origin(fallback, effect(2, "boot", { chart: "sandbox" }), effect(3, "boot"))).toBe("boot");
    expect(origin(fallback)).toBeUndefined();
  });

  it("shows no control characters, and no megabytes", () => {
    const [shown] = earlierEntries([
      entry(1, { name: `\u001b[2J${"x".repeat(1_000_000)}`, error: "\u202e" }),
    ]);
    expect(shown?.name).not.toContain("\u001b");
    expect(shown?.name.length).toBeLessThan(10_000);
    expect(shown?.error).not.toContain("\u202e");
  });
});
