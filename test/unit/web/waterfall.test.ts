/** Rows and causes of the page's timeline. */
import { expect, test } from "vitest";
import type { HistoryEntry } from "../../../src/contracts/inspection.ts";
import { Causes } from "../../../web/model/causes.ts";
import { rowsOf } from "../../../web/model/waterfall.ts";
import { FakeInspection } from "../../support/fake-inspection/inspection.ts";

const HISTORY: readonly HistoryEntry[] = [
  { id: 1, kind: "call", name: "Controller.Start", at: 0, ms: 100 },
  {
    id: 2,
    kind: "transition",
    name: "sandbox.start",
    chart: "sandbox",
    from: "created",
    to: "booting",
    at: 0,
    cause: 1,
  },
  { id: 3, kind: "effect", name: "boot", chart: "sandbox", at: 1, ms: 90, cause: 2 },
  { id: 4, kind: "step", name: "guest sandbox.setup", chart: "sandbox", at: 10, ms: 20, cause: 3 },
  { id: 5, kind: "call", name: "Task.Create", at: 50, cause: 9 },
  {
    id: 6,
    kind: "transition",
    name: "done",
    chart: "sandbox",
    from: "booting",
    to: "ready",
    at: 91,
    cause: 3,
  },
  { id: 7, kind: "effect", name: "watch", chart: "sandbox", at: 92, cause: 6 },
];

test("effects stand below their transition, steps below their effect, transitions beside each other", () => {
  const rows = rowsOf(HISTORY, 200).map(({ entry, depth }) => [entry.id, depth]);
  expect(rows).toEqual([
    [1, 0],
    [2, 1],
    [3, 2],
    [4, 3],
    [6, 1],
    [7, 2],
    [5, 0],
  ]);
});

test("what goes on reaches until now", () => {
  const row = rowsOf(HISTORY, 200).find(({ entry }) => entry.id === 7);
  expect(row).toMatchObject({ from: 92, to: 200, open: true });
});

test("the chain of causes goes back to the call", () => {
  const causes = new Causes(HISTORY);
  expect(causes.pathTo(7).map(({ id }) => id)).toEqual([1, 2, 3, 6, 7]);
  expect([...causes.consequences(2)].sort()).toEqual([3, 4, 6, 7]);
});

test("a file whose entries cause each other does not hold the page up", () => {
  const loop: HistoryEntry[] = [
    { id: 1, kind: "effect", name: "a", at: 0, cause: 2 },
    { id: 2, kind: "effect", name: "b", at: 0, cause: 1 },
    { id: 3, kind: "effect", name: "c", at: 0, cause: 3 },
  ];
  const causes = new Causes(loop);
  expect(causes.pathTo(2).map(({ id }) => id)).toEqual([1, 2]);
  expect(causes.pathTo(3).map(({ id }) => id)).toEqual([3]);
  expect(causes.consequences(1)).toEqual(new Set([2]));
  expect(rowsOf(loop, 1)).toHaveLength(3);
});

test("each entry of a real life has one row, and none is indented without bound", async () => {
  const fake = new FakeInspection();
  const id = fake.startPod({
    name: "web",
    namespace: "shop",
    path: "boot",
    fallbacks: ["fork", "clone"],
    containers: 2,
    stopAfter: 100,
  });
  fake.advance(60_000);
  const { history } = await fake.get(id);
  const rows = rowsOf(history, fake.now());
  expect(rows.map(({ entry }) => entry.id).sort((a, b) => a - b)).toEqual(
    history.map((entry) => entry.id).sort((a, b) => a - b),
  );
  expect(Math.max(...rows.map(({ depth }) => depth))).toBeLessThanOrEqual(5);
});
