/** Two sandboxes step by step beside each other. */
import { fc, test } from "@fast-check/vitest";
import { expect } from "vitest";
import type { HistoryEntry } from "../../../src/contracts/inspection.ts";
import { align, mainDifferences, type Step, stepsOf } from "../../../web/model/alignment.ts";
import { FakeInspection } from "../../support/fake-inspection/inspection.ts";

async function pods(...plans: readonly Parameters<FakeInspection["startPod"]>[0][]) {
  const fake = new FakeInspection();
  const ids = plans.map((plan) => fake.startPod(plan));
  fake.advance(60_000);
  return Promise.all(ids.map(async (id) => stepsOf(await fake.get(id), fake.now())));
}

const POD = { namespace: "shop", containers: 1, path: "clone" } as const;

test("a sandbox beside itself is alike in everything", async () => {
  const [steps = []] = await pods({ ...POD, name: "web" });
  const aligned = align(steps, steps);
  expect(aligned).toHaveLength(steps.length);
  expect(aligned.every(({ mark, ms }) => mark === "alike" && ms === 0)).toBe(true);
});

test("the step that made one slow is named first", async () => {
  const [quick = [], slow = []] = await pods(
    { ...POD, name: "quick" },
    { ...POD, name: "slow", slowness: 6 },
  );
  const [main] = mainDifferences(align(quick, slow));
  expect(main?.mark).toBe("slower");
  expect(main?.chart).toBe("boot");
  expect(["cloning", "awaitingAgent.listening"]).toContain(main?.name);
});

test("a way that only one of them went is marked, and the rest still stands side by side", async () => {
  const [pool = [], boot = []] = await pods(
    { ...POD, name: "a", path: "pool" },
    { ...POD, name: "b", path: "boot", fallbacks: ["pool"] },
  );
  const aligned = align(pool, boot);
  const marks = new Map(aligned.filter(({ kind }) => kind === "state").map(({ key, mark }) => [key, mark]));
  expect(marks.get("boot|state|booting")).toBe("onlySecond");
  expect(marks.get("boot|state|awaitingAgent.listening")).toBe("onlySecond");
  const both = aligned.find(({ key }) => key === "boot|state|settingUp");
  expect(both?.first).toBeDefined();
  expect(both?.second).toBeDefined();
});

test("containers with other ids are aligned by their number", async () => {
  const [a = [], b = []] = await pods(
    { ...POD, name: "a", containers: 2 },
    { ...POD, name: "b", containers: 2 },
  );
  const containers = align(a, b).filter(({ chart }) => chart.startsWith("container"));
  expect(new Set(containers.map(({ chart }) => chart))).toEqual(new Set(["container 1", "container 2"]));
  expect(containers.every(({ first, second }) => first !== undefined && second !== undefined)).toBe(true);
});

test("the failure is told of the state that failed, not of the one after it", () => {
  const move = (id: number, at: number, from: string, to: string, error?: string): HistoryEntry => ({
    ...{ id, at, from, to, kind: "transition", name: "failed", chart: "boot" },
    ...(error === undefined ? {} : { error }),
  });
  const history = [
    move(1, 0, "", "forking"),
    move(2, 5, "forking", "cloning", "gone"),
    move(3, 9, "cloning", "ready"),
  ];
  const summary = { endedAt: undefined } as unknown as Parameters<typeof stepsOf>[0]["summary"];
  const steps = stepsOf({ history, summary } as unknown as Parameters<typeof stepsOf>[0], 10);
  expect(steps.map(({ name, error }) => [name, error])).toEqual([
    ["forking", "gone"],
    ["cloning", undefined],
    ["ready", undefined],
  ]);
});

const steps = fc.array(
  fc.record({ key: fc.constantFrom("a", "b", "c", "d"), ms: fc.integer({ min: 0, max: 100 }) }),
  { maxLength: 12 },
);

test.prop([steps, steps])("no step is lost or doubled, and both keep their order", (a, b) => {
  const made = (list: typeof a): Step[] =>
    list.map(({ key, ms }, index) => ({
      key,
      ms,
      chart: "boot",
      kind: "state",
      name: key,
      at: index,
      entryId: index,
    }));
  const [first, second] = [made(a), made(b)];
  const aligned = align(first, second);
  expect(aligned.flatMap((step) => step.first ?? [])).toEqual(first);
  expect(aligned.flatMap((step) => step.second ?? [])).toEqual(second);
  for (const { first: left, second: right } of aligned) if (left && right) expect(left.key).toBe(right.key);
});
