/** What a sandbox's charts were at an instant, from histories of the fake daemon's pods. */
import { expect, test } from "vitest";
import { withEntry } from "../../../web/model/entries.ts";
import { chartAt, chartKeys, goingOnAt, momentsOf, stateAt } from "../../../web/model/moments.ts";
import { FakeInspection } from "../../support/fake-inspection/inspection.ts";

const POD = { name: "web", namespace: "shop", path: "clone", containers: 1 } as const;

async function ranPod() {
  const fake = new FakeInspection();
  const id = fake.startPod({ ...POD, stopAfter: 500 });
  fake.advance(20_000);
  return { fake, detail: await fake.get(id) };
}

test("at each of its transitions, a chart is where the transition led to", async () => {
  const { detail } = await ranPod();
  const taken = detail.history.filter(({ kind }) => kind === "transition");
  expect(taken.length).toBeGreaterThan(10);
  for (const entry of taken) {
    if (entry.chart === undefined) continue;
    const later = taken.filter((other) => other.chart === entry.chart && other.at === entry.at);
    const last = later.reduce((a, b) => (a.id > b.id ? a : b));
    expect(chartAt(detail, entry.chart, entry.at).active.at(-1)).toBe(last.to);
  }
});

test("before it was created there is nothing, and at the end it is as the daemon says", async () => {
  const { detail } = await ranPod();
  const { createdAt, endedAt = 0 } = detail.summary;
  expect(chartAt(detail, "sandbox", createdAt - 1).active).toEqual([]);
  expect(stateAt(detail, createdAt - 1)).toBe("");
  expect(chartAt(detail, "sandbox", endedAt).active).toEqual(["stopped"]);
});

test("the state is that of the boot's chart while the sandbox boots", async () => {
  const { detail } = await ranPod();
  const states = new Set(momentsOf(detail).map((moment) => stateAt(detail, moment)));
  expect(states).toContain("creating");
  expect(states).toContain("booting.cloning");
  expect(states).toContain("booting.awaitingAgent.listening");
  expect(states).toContain("ready.running");
});

test("times in the states of a chart add up to its life, and outer ones have those of inner ones", async () => {
  const { detail } = await ranPod();
  const { createdAt, endedAt = 0 } = detail.summary;
  const { spent } = chartAt(detail, "sandbox", endedAt);
  const outer = [...spent].filter(([path]) => !path.includes("."));
  const first = detail.history.find(({ kind }) => kind === "transition")?.at ?? createdAt;
  expect(outer.reduce((sum, [, ms]) => sum + ms, 0)).toBeCloseTo(endedAt - first, 3);
  expect(spent.get("ready")).toBeCloseTo(spent.get("ready.running") ?? 0, 3);
});

test("each container and each process has a chart of its own", async () => {
  const { detail } = await ranPod();
  const kinds = chartKeys(detail).map((key) => key.split("/", 1)[0]);
  expect(kinds).toEqual(["sandbox", "boot", "container", "process"]);
});

test("what goes on at an instant began before it and ended after it", async () => {
  const { detail } = await ranPod();
  for (const moment of momentsOf(detail))
    for (const { at, ms = Number.POSITIVE_INFINITY } of goingOnAt(detail.history, moment)) {
      expect(at).toBeLessThanOrEqual(moment);
      expect(at + ms).toBeGreaterThan(moment);
    }
});

test("entries as they are told lead to the same charts as asking again", async () => {
  const fake = new FakeInspection();
  const id = fake.startPod(POD);
  let shown = await fake.get(id);
  const subscription = fake.watch({ sandboxId: id, entries: true }).subscribe({
    next: (event) => {
      if (event.type === "entry") shown = withEntry(shown, event.entry);
    },
    error: () => undefined,
    complete: () => undefined,
  });
  fake.advance(10_000);
  subscription.unsubscribe();
  const asked = await fake.get(id);
  const byId = (history: typeof asked.history) => [...history].sort((a, b) => a.id - b.id);
  expect(byId(shown.history)).toEqual(byId(asked.history));
  const states = ({ charts }: typeof asked) => charts.map(({ key, active }) => [key, active]);
  expect(states(shown)).toEqual(states(asked));
});

test("an old word about an entry does not undo what is known of it", async () => {
  const { detail } = await ranPod();
  const ended = detail.history.find(({ ms }) => ms !== undefined);
  if (ended === undefined) throw new Error("nothing has ended");
  const { ms: _, ...begun } = ended;
  expect(withEntry(detail, begun)).toBe(detail);
});
