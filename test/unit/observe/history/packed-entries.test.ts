import { fc, test } from "@fast-check/vitest";
import { expect } from "vitest";
import type { ChartKey, HistoryEntry } from "../../../../src/contracts/inspection.ts";
import { PackedEntries } from "../../../../src/observe/history/packed-entries.ts";

const CHARTS: ChartKey[] = ["sandbox", "boot", "container/c", "process/c/"];
const text = fc.oneof(fc.constantFrom("done", "worker mount", ""), fc.string());
const entry: fc.Arbitrary<HistoryEntry> = fc.record(
  {
    id: fc.nat(),
    kind: fc.constantFrom("call" as const, "transition" as const, "effect" as const, "note" as const),
    at: fc.double({ noNaN: true }),
    name: text,
    cause: fc.integer({ min: 1 }),
    chart: fc.constantFrom(...CHARTS),
    ms: fc.double({ noNaN: true, min: 0 }),
    from: text,
    to: text,
    error: text,
  },
  { requiredKeys: ["id", "kind", "at", "name"] },
);

test.prop([fc.array(entry, { maxLength: 200 })])("gives back what it has taken", (entries) => {
  const packed = new PackedEntries(32, 1_000);
  for (const each of entries) packed.push(each);
  expect(packed.all).toEqual(entries);
  expect(packed.count).toBe(entries.length);
});

test.prop([fc.nat({ max: 400 }), fc.constantFrom(0, 16, 48), fc.integer({ min: 48, max: 100 })])(
  "keeps the first ones for ever, and of the others the last ones",
  (count, mostFirst, most) => {
    const packed = new PackedEntries(mostFirst, most);
    const entries = Array.from({ length: count }, (_, index): HistoryEntry => {
      return { id: index + 1, kind: "note", at: index, name: `${index}` };
    });
    for (const each of entries) packed.push(each);
    const gone = Math.max(0, count - most);
    expect(packed.all).toEqual([...entries.slice(0, mostFirst), ...entries.slice(mostFirst + gone)]);
    expect(packed.forgotten).toBe(gone);
  },
);
