/** What the maps of a user namespace make of ids: there and back, and nothing where there is no map. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type IdMapping,
  insideOf,
  mapsProblem,
  outsideOf,
  sameMaps,
} from "../../../src/contracts/id-maps.ts";

/** Maps that a pod may have: ranges one after the other, in another order outside, with holes. */
const maps = fc
  .array(fc.record({ hole: fc.nat(1000), size: fc.integer({ min: 1, max: 100_000 }), place: fc.nat() }), {
    minLength: 1,
    maxLength: 5,
  })
  .map((ranges) => {
    const mappings: IdMapping[] = [];
    let containerId = 0;
    for (const { hole, size } of ranges) {
      mappings.push({ containerId, hostId: 0, size });
      containerId += size + hole;
    }
    const order = mappings
      .map((_, index) => index)
      .sort((a, b) => (ranges[a]?.place ?? 0) - (ranges[b]?.place ?? 0));
    let hostId = 100_000;
    for (const index of order) {
      const mapping = mappings[index];
      if (mapping === undefined) continue;
      mapping.hostId = hostId;
      hostId += mapping.size + (ranges[index]?.hole ?? 0);
    }
    return mappings;
  });

describe("the maps of a user namespace", () => {
  test("lead there and back, in both directions, and nowhere else", () => {
    fc.assert(
      fc.property(maps, fc.nat(700_000), (mappings, id) => {
        expect(mapsProblem(mappings)).toBeUndefined();
        const [outside, inside] = [outsideOf(mappings, id), insideOf(mappings, id)];
        if (outside !== undefined) expect(insideOf(mappings, outside)).toBe(id);
        if (inside !== undefined) expect(outsideOf(mappings, inside)).toBe(id);
        const ranges = (side: "containerId" | "hostId") =>
          mappings.some((each) => id >= each[side] && id < each[side] + each.size);
        expect([outside !== undefined, inside !== undefined]).toEqual([
          ranges("containerId"),
          ranges("hostId"),
        ]);
      }),
    );
  });

  test("are the same if all of their numbers are", () => {
    const one = { containerId: 0, hostId: 1000, size: 10 };
    const [uids, gids] = [[one], [{ ...one, hostId: 2000 }]];
    expect(sameMaps({ uids, gids }, { uids: [{ ...one }], gids })).toBe(true);
    expect(sameMaps({ uids, gids }, { uids, gids: uids })).toBe(false);
    expect(sameMaps({ uids, gids }, { uids: [one, one], gids })).toBe(false);
  });
});
