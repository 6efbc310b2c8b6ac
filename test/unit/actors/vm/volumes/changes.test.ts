/** From one state of a copied volume to the next: what the guest ends with, and what it never shows on the way. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { changesBetween, known } from "../../../../../src/actors/vm/volumes/changes.ts";
import { partsOf, writesOf } from "../../../../../src/actors/vm/volumes/requests.ts";
import type { VolumeEntry } from "../../../../../src/contracts/volumes.ts";
import { FakeVolumes } from "../../../../support/fake-guest/volumes.ts";
import { volumeEntry } from "../../../../support/memory-host/volumes.ts";

/** limits.h; a key of a configMap has 253 characters at most. */
const NAME_MAX = 255;

function guestWith(entries: readonly VolumeEntry[]): FakeVolumes {
  const guest = new FakeVolumes();
  for (const write of writesOf([{ name: "v", parts: entries.flatMap(partsOf) }])) guest.write(write);
  return guest;
}

/** Does the steps in their order; `look` is called after each. */
function apply(
  guest: FakeVolumes,
  before: readonly VolumeEntry[],
  after: readonly VolumeEntry[],
  look: () => void = () => undefined,
) {
  const { cleared, written, renames, removed } = changesBetween(known(before), after);
  for (const { path } of written)
    expect(Buffer.byteLength(path.slice(path.lastIndexOf("/") + 1))).toBeLessThanOrEqual(NAME_MAX);
  guest.swap({ name: "v", renames: [], removed: [...cleared] });
  look();
  for (const write of writesOf([{ name: "v", parts: written.flatMap(partsOf) }])) {
    guest.write(write);
    look();
  }
  for (const rename of renames) {
    guest.swap({ name: "v", renames: [rename], removed: [] });
    look();
  }
  guest.swap({ name: "v", renames: [], removed: [...removed] });
  look();
}

function shown(entries: readonly VolumeEntry[]): Map<string, string> {
  return guestWith(entries).all.get("v") ?? new Map<string, string>();
}

function atomic(state: string, files: Readonly<Record<string, string>>): VolumeEntry[] {
  return [
    volumeEntry(""),
    volumeEntry(`..${state}`),
    ...Object.entries(files).map(([name, text]) => volumeEntry(`..${state}/${name}`, "file", text)),
    volumeEntry("..data", "link", `..${state}`),
    ...Object.keys(files).map((name) => volumeEntry(name, "link", `..data/${name}`)),
  ];
}

describe("a volume that kubelet replaces", () => {
  const before = atomic("one", { kept: "1", gone: "1" });
  const after = atomic("two", { kept: "2", added: "2" });

  test("ends as the new one", () => {
    const guest = guestWith(before);
    apply(guest, before, after);
    expect(guest.all.get("v")).toEqual(shown(after));
  });

  test("shows all old or all new content at every step", () => {
    const guest = guestWith(before);
    const seen = new Set<string>();
    apply(guest, before, after, () => {
      seen.add(`${guest.read("v", "kept")} ${guest.read("v", "added")}`);
    });
    // a new name comes when its content is there, as kubelet makes it
    expect([...seen]).toEqual(["1 undefined", "2 undefined", "2 2"]);
  });

  test("that is the same again sends nothing", () => {
    expect(changesBetween(known(before), before)).toEqual({
      cleared: [],
      written: [],
      renames: [],
      removed: [],
    });
  });
});

test("content is not remembered", () => {
  expect(JSON.stringify(known(atomic("one", { token: "s3cret" })))).not.toContain(
    Buffer.from("s3cret").toString("base64"),
  );
});

test("a large file goes in parts that fit a message, and many files in several requests", () => {
  const large = volumeEntry("large", "file", "x".repeat(500_000));
  const parts = partsOf(large);
  expect(parts.map(({ offset }) => offset)).toEqual([0, 196_608, 393_216]);
  expect(Buffer.concat(parts.map(({ content }) => Buffer.from(content, "base64"))).toString()).toBe(
    "x".repeat(500_000),
  );
  const many = Array.from({ length: 1000 }, (_, index) => volumeEntry(`f${index}`, "file", "y"));
  expect(writesOf([{ name: "v", parts: many.flatMap(partsOf) }])).toHaveLength(2);
  expect(partsOf(volumeEntry("empty", "file", ""))).toHaveLength(1);
});

test("any state becomes any other", () => {
  const name = fc.constantFrom("a", "b", "..data", "..new-0", "l".repeat(NAME_MAX));
  type Tree = Map<string, "directory" | "file" | "link">;
  const tree = fc
    .array(
      fc.tuple(fc.array(name, { minLength: 1, maxLength: 3 }), fc.constantFrom("file", "link", "directory")),
    )
    .map((list) => {
      const found: Tree = new Map();
      for (const [names, type] of list) {
        const path = names.join("/");
        const above = names.slice(0, -1).map((_, index) => names.slice(0, index + 1).join("/"));
        if (found.has(path) || above.some((each) => (found.get(each) ?? "directory") !== "directory"))
          continue;
        for (const each of above) found.set(each, "directory");
        found.set(path, type as "directory");
      }
      const paths = [...found.keys()].sort();
      return [
        volumeEntry(""),
        ...paths.map((path) => volumeEntry(path, found.get(path), `${Math.random()}`)),
      ];
    });
  fc.assert(
    fc.property(tree, tree, (before, after) => {
      const guest = guestWith(before);
      apply(guest, before, after);
      expect(guest.all.get("v")).toEqual(shown(after));
    }),
    { numRuns: 500 },
  );
});
