/** Which chains have an image made ahead, and in which order. */
import { describe, expect, it } from "vitest";
import { WantedChains } from "../../../../src/actors/images/wanted.ts";

const START = new Date(10_000);

function chain(name: string, ms: number) {
  return { snapshotter: "overlayfs", name, unpackedAt: new Date(ms) };
}

/** Takes all that are wanted, one after the other. */
function taken(wanted: WantedChains): string[] {
  const names: string[] = [];
  for (let next = wanted.next; next !== undefined; next = wanted.next) {
    names.push(next.name);
    wanted.handle(next);
  }
  return names;
}

describe("what is made ahead", () => {
  it("is what was unpacked since the start, the first first", () => {
    const wanted = new WantedChains(START, 0);
    wanted.list([chain("old", 9_999), chain("late", 30_000), chain("early", 10_000)]);
    expect(taken(wanted)).toEqual(["early", "late"]);
  });

  it("is as many of the older ones as configured, the last unpacked first, and after the new ones", () => {
    const wanted = new WantedChains(START, 2);
    wanted.list([chain("a", 1), chain("c", 3), chain("b", 2), chain("new", 20_000)]);
    expect(taken(wanted)).toEqual(["new", "c", "b"]);
  });

  it("does not come to more of the older ones when some of them go", () => {
    const wanted = new WantedChains(START, 1);
    wanted.list([chain("a", 1), chain("b", 2)]);
    expect(taken(wanted)).toEqual(["b"]);
    wanted.list([chain("a", 1)]);
    expect(taken(wanted)).toEqual([]);
  });

  it("is wanted once, and again after a later pull", () => {
    const wanted = new WantedChains(START, 0);
    wanted.list([chain("a", 20_000)]);
    expect(taken(wanted)).toEqual(["a"]);
    wanted.list([chain("a", 20_000)]);
    expect(taken(wanted)).toEqual([]);
    wanted.list([chain("a", 30_000)]);
    expect(taken(wanted)).toEqual(["a"]);
  });

  it("is tried again at the next list if it was postponed", () => {
    const wanted = new WantedChains(START, 0);
    wanted.list([chain("a", 20_000), chain("b", 20_001)]);
    wanted.postpone(chain("a", 20_000));
    expect(taken(wanted)).toEqual(["b"]);
    wanted.list([chain("a", 20_000), chain("b", 20_001)]);
    expect(taken(wanted)).toEqual(["a"]);
  });
});
