import { describe, expect, it } from "vitest";
import { activePaths } from "../../../../src/charts/names.ts";
import { allStates } from "../../../../src/charts/states.ts";
import { DEADLINES, type DeadlineName } from "../../../../src/contracts/deadlines.ts";
import type {
  ChartKey,
  ChartName,
  ChartState,
  HistoryEntry,
  SandboxDetail,
  SandboxSummary,
} from "../../../../src/contracts/inspection.ts";
import { chartDefinitions } from "../../../../src/observe/charts/definitions.ts";
import { whyLine } from "../../../../src/observe/why/line.ts";
import { restingIn, waitOfEffect, waitOfState } from "../../../../src/observe/why/waits.ts";
import { type Circumstances, why } from "../../../../src/observe/why/why.ts";
import { duration } from "../../../../src/observe/why/words.ts";

const AT = Date.UTC(2026, 2, 1, 3, 0, 0);
const NOW = AT + 12_300;
const KEYS: Readonly<Record<ChartName, ChartKey>> = {
  sandbox: "sandbox",
  boot: "boot",
  container: "container/c1",
  process: "process/c1/",
};

function summary(changes: Partial<SandboxSummary> = {}): SandboxSummary {
  return {
    ...{ id: "s1", pod: { name: "web", namespace: "shop", uid: "u", attempt: 0 }, phase: "ready" },
    ...{ state: "ready.running", since: AT, createdAt: AT - 1_000, path: "fork", pid: 42 },
    ...{ vcpus: 1, memoryBytes: 1, containers: 1 },
    ...changes,
  } as SandboxSummary;
}

function chartState(chart: ChartName, path: string, since = AT): ChartState {
  return { key: KEYS[chart], chart, active: activePaths(path), since, context: "{}" };
}

type Known = Omit<SandboxDetail, "why">;

function detail(changes: Partial<Known> = {}): Known {
  const nothing = { deadlines: [], resources: [], history: [], forgotten: 0, info: {} };
  return { summary: summary(), charts: [chartState("sandbox", "ready.running")], ...nothing, ...changes };
}

/** A sandbox of which a chart is in a state, with whatever that state waits for. */
function inState(chart: ChartName, path: string, changes: Partial<Known> = {}): Known {
  const definition = chartDefinitions().find(({ name }) => name === chart);
  const states = allStates(definition?.states ?? []).filter((each) => activePaths(path).includes(each.path));
  const effects = states.flatMap(({ effects: names }) => names);
  const history = effects.map(
    (name, index): HistoryEntry => ({ id: index + 1, kind: "effect", chart: KEYS[chart], at: AT, name }),
  );
  const outer = { sandbox: path, boot: "booting", container: "ready.running", process: "ready.running" }[
    chart
  ];
  const charts = [chartState("sandbox", outer), ...(chart === "sandbox" ? [] : [chartState(chart, path)])];
  return detail({ summary: summary({ state: outer }), charts, history, ...changes });
}

const around = (changes: Partial<Circumstances> = {}): Circumstances => ({
  now: NOW,
  shortages: [],
  charts: chartDefinitions(),
  ...changes,
});

const LEAVES = chartDefinitions().flatMap(({ name, states }) =>
  allStates(states)
    .filter(({ states: inner }) => inner.length === 0)
    .map(({ path, effects, deadlines }) => ({ chart: name, path, effects, deadlines })),
);
const WAITS = chartDefinitions().flatMap(({ name, states }) =>
  allStates(states).flatMap(({ path, deadlines }) =>
    deadlines.map((deadline) => ({ chart: name, path, deadline: deadline as DeadlineName })),
  ),
);

describe("why", () => {
  it.each(LEAVES)(
    "says of $chart $path what it waits for, or that it waits for nothing",
    ({ chart, path }) => {
      const outer = activePaths(path);
      const definition = chartDefinitions().find(({ name }) => name === chart);
      const effects = allStates(definition?.states ?? [])
        .filter((each) => outer.includes(each.path))
        .flatMap((each) => each.effects);
      const wait = effects.map((name) => waitOfEffect(chart, name)).at(-1) ?? waitOfState(chart, path);
      const text = why(inState(chart, path), around());
      expect(text).not.toMatch(/undefined|NaN|\.\.|\s{2}/);
      // a container that waits for nothing is not worth a word
      const [of, state] =
        chart === "sandbox" || chart === "boot" ? [chart, path] : (["sandbox", "ready.running"] as const);
      if (wait === undefined)
        return expect(text).toContain(restingIn(of, state) ?? "no words for this state");
      expect(text).toContain(`waits for ${wait.what}`);
      expect(text).toContain(wait.whose);
      expect(text).toContain(`What you can do: ${wait.remedy}`);
    },
  );

  it.each(WAITS)("says when the deadline $deadline ends $chart $path, and what comes then", (each) => {
    const { chart, path, deadline } = each;
    const endsAt = AT + DEADLINES[deadline].ms;
    const running = { name: deadline, chart: KEYS[chart], state: path, wait: "", since: AT, endsAt };
    const leaf = LEAVES.find((state) => state.chart === chart && activePaths(state.path).includes(path));
    const text = why(inState(chart, leaf?.path ?? path, { deadlines: [running] }), around());
    const left = duration(endsAt - NOW);
    if (deadline === "firstSign") return expect(text).toContain("is looked at for a sign of life");
    expect(text).toContain(`The deadline ${deadline} (${duration(DEADLINES[deadline].ms)}) ends that at `);
    expect(text).toContain(` UTC, in ${left}, then comes `);
  });

  it("says all of it of a pod whose guest does not answer", () => {
    const history: HistoryEntry[] = [
      { id: 1, kind: "transition", chart: "boot", at: AT - 900, name: "", from: "", to: "queued" },
      { id: 2, kind: "effect", chart: "boot", at: AT - 800, ms: 500, name: "fork", error: "no memory" },
      {
        id: 3,
        kind: "transition",
        chart: "boot",
        at: AT - 300,
        name: "failed",
        from: "queued",
        to: "booting",
      },
      { id: 4, kind: "transition", chart: "boot", at: AT, name: "done", from: "booting", to: "settingUp" },
      { id: 5, kind: "effect", chart: "boot", at: AT, name: "setUpGuest" },
      { id: 6, kind: "step", cause: 5, at: AT, name: "guest sandbox.setup" },
    ];
    const deadline = { name: "guestSetup", chart: "boot", state: "settingUp", wait: "", since: AT } as const;
    const known = detail({
      summary: summary({ state: "booting.settingUp", phase: "booting" }),
      charts: [chartState("sandbox", "booting"), chartState("boot", "settingUp")],
      deadlines: [{ ...deadline, endsAt: AT + 60_000 }],
      history,
    });
    const usual = () => ({ p50: 14, p99: 40 });
    const shortages = ["the host is short of memory: tasks waited for 34 % of the last 10 s"];
    expect(why(known, around({ usual, shortages }))).toBe(
      "Pod shop/web has been in booting.settingUp for 12.3 s, which usually takes 14 ms (p99 40 ms). It waits for names, files, entropy, clock and network to be set in its guest (now guest sandbox.setup); the answer of the guest agent is missing. The deadline guestSetup (60.0 s) ends that at 03:01:00 UTC, in 47.7 s, then comes failed. Before: queued 600 ms, booting 300 ms. The last that failed was fork, after 500 ms: no memory. The host is short of memory: tasks waited for 34 % of the last 10 s. What you can do: look at what the guest says (`blazar logs --console` and `--agent`) and at what it does (`blazar exec`).",
    );
  });

  it("says that a stopped VMM is why nothing happens, and how to let it go on", () => {
    const text = why(detail(), around({ vmm: "is stopped by a signal (state T)" }));
    expect(text).toContain("Its VMM (pid 42) is stopped by a signal (state T), so its guest does not run.");
    expect(text).toContain("`kill -CONT 42`");
  });

  it("says how a pod has ended, and what the host was short of then", () => {
    const ended = summary({
      ...{ phase: "failed", state: "removed", endedAt: AT + 5_000, startMs: 312 },
      failure: { code: "VmmExited", message: "cannot keep the sandbox alive: the VMM ended with signal 9" },
    });
    const note = { id: 1, kind: "note", at: AT, name: "the host: short of memory" } as const;
    const charts = [chartState("sandbox", "removed")];
    expect(why(detail({ summary: ended, charts, history: [note] }), around())).toBe(
      "Pod shop/web has ended at 03:00:05 UTC, after 6.0 s; it was ready after 312 ms. It failed with VmmExited: cannot keep the sandbox alive: the VMM ended with signal 9. Then the host: short of memory.",
    );
  });

  it("looks at the container that waits for the longest, not at what containerd has not asked for", () => {
    const charts = [
      chartState("sandbox", "ready.running"),
      { ...chartState("process", "pending", AT - 9_000), key: "process/c0/" as const },
      chartState("container", "creating"),
    ];
    const history: HistoryEntry[] = [
      { id: 1, kind: "effect", chart: "container/c1", at: AT, name: "create" },
    ];
    expect(why(detail({ charts, history }), around())).toContain("Container c1 (creating) waits for");
  });

  it("names a sandbox without a pod by its id, and cuts what is long", () => {
    const nameless = summary({ pod: { name: "", namespace: "", uid: "", attempt: 0 } });
    expect(why(detail({ summary: nameless }), around())).toMatch(/^Sandbox s1 has been in/);
    const failure = { code: "GuestFailed", message: "x".repeat(10_000) };
    expect(why(detail({ summary: summary({ failure }) }), around()).length).toBeLessThan(1_000);
  });
});

describe("the end of an error", () => {
  const failed: HistoryEntry[] = [
    { id: 1, kind: "step", cause: 2, at: AT, ms: 60_000, name: "vmm launch", error: "late" },
    { id: 2, kind: "effect", chart: "boot", at: AT, ms: 60_000, name: "boot", error: "late" },
  ];
  const chartOf = () => "boot" as const;

  it("says in one line what was waited for, where, and what the host lacked", () => {
    expect(whyLine(failed, ["the host is short of memory"], chartOf)).toBe(
      "it waited 60.0 s for a VMM to be spawned and to answer (at vmm launch); the host is short of memory",
    );
  });

  it("says nothing where no wait has failed, and never much", () => {
    expect(whyLine([], ["the host is short of memory"], chartOf)).toBe("");
    expect(whyLine(failed, ["x".repeat(1_000)], chartOf).length).toBeLessThanOrEqual(320);
  });
});

describe("durations", () => {
  it.each([
    [0, "0 ms"],
    [0.123, "0.12 ms"],
    [12.4, "12 ms"],
    [999.7, "1.0 s"],
    [3_440, "3.4 s"],
    [125_000, "2 min 5 s"],
    [120_000, "2 min"],
    [3_600_000 * 3 + 12 * 60_000, "3 h 12 min"],
    [86_400_000 * 5, "5 d"],
    [-5, "0 ms"],
  ])("%d ms are %s", (ms, text) => expect(duration(ms)).toBe(text));
});
