/** Metrics: what the history adds up to, what a scrape reads, and how it is written. */
import { expect, test } from "vitest";
import { exposition } from "../../../../src/observe/metrics/exposition.ts";
import { MetricStore } from "../../../../src/observe/metrics/store.ts";
import { METRIC_TABLE } from "../../../../src/observe/metrics/table.ts";
import { ToldHistory, toldStart } from "../../../support/fake-metrics/history.ts";
import { fakeMetrics, fakeSummary } from "../../../support/fake-metrics/sources.ts";

async function lines(metrics: ReturnType<typeof fakeMetrics>): Promise<string[]> {
  const { text } = await metrics.page();
  metrics.close();
  return text.split("\n");
}

test("names and units are what Prometheus asks for", () => {
  for (const [name, { type, unit, help, buckets = [] }] of Object.entries(METRIC_TABLE)) {
    expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
    expect(name.endsWith("_total"), name).toBe(type === "counter");
    const base = name.replace(/_total$/, "");
    if (unit !== "") expect(base.endsWith(`_${unit}`), name).toBe(true);
    expect(help, name).toMatch(/^.*\.$/);
    expect(buckets.length > 0, name).toBe(type === "histogram");
    expect([...buckets].sort((a, b) => a - b)).toEqual(buckets);
  }
});

test("a start is counted by the way that led to its VM, with its fallback and the deadline that was missed", async () => {
  const metrics = fakeMetrics(() => []);
  toldStart(new ToldHistory(metrics.listener, "a"));
  const text = await lines(metrics);
  expect(text).toContain('blazar_sandbox_starts_total{path="boot"} 1');
  expect(text).toContain('blazar_sandbox_starts_total{path="clone"} 0');
  expect(text).toContain('blazar_boot_fallbacks_total{from="clone",to="boot"} 1');
  expect(text).toContain('blazar_deadlines_missed_total{deadline="launch"} 1');
  expect(text).toContain('blazar_deadlines_missed_total{deadline="adopt"} 0');
  expect(text).toContain('blazar_sandbox_start_duration_seconds_bucket{path="boot",le="1"} 0');
  expect(text).toContain('blazar_sandbox_start_duration_seconds_bucket{path="boot",le="2.5"} 1');
  expect(text).toContain('blazar_sandbox_start_duration_seconds_bucket{path="boot",le="+Inf"} 1');
  expect(text).toContain('blazar_sandbox_start_duration_seconds_sum{path="boot"} 1.2');
  expect(text).toContain('blazar_call_duration_seconds_count{method="Controller.Start"} 1');
  expect(text).toContain('blazar_effect_duration_seconds_count{chart="boot",effect="setUpGuest"} 1');
  expect(text).toContain('blazar_step_duration_seconds_sum{step="guest sandbox.setup"} 0.9');
});

test("a look at a guest that boots is no missed deadline", async () => {
  const metrics = fakeMetrics(() => []);
  const history = new ToldHistory(metrics.listener, "a");
  history.transition("boot", "after firstSign", "awaitingAgent.listening", "awaitingAgent.examining");
  expect((await lines(metrics)).filter((line) => line.includes("firstSign"))).toEqual([]);
});

test("errors are counted by code, and a Wait has no duration", async () => {
  const metrics = fakeMetrics(() => []);
  const history = new ToldHistory(metrics.listener, "a");
  const error = { text: "cannot start", code: "DeadlineExceeded" } as const;
  history.end(history.begin({ kind: "call", name: "Controller.Start" }), error);
  history.end(history.begin({ kind: "effect", name: "adopt", chart: "boot" }), error);
  history.end(history.begin({ kind: "step", name: "worker mount" }), error);
  history.end(history.begin({ kind: "call", name: "Task.Wait" }));
  const text = await lines(metrics);
  expect(text).toContain('blazar_call_errors_total{method="Controller.Start",code="DeadlineExceeded"} 1');
  expect(text).toContain('blazar_effect_errors_total{chart="boot",effect="adopt",code="DeadlineExceeded"} 1');
  expect(text).toContain('blazar_step_errors_total{step="worker mount",code="DeadlineExceeded"} 1');
  expect(text.filter((line) => line.includes("Task.Wait"))).toEqual([]);
});

test("a sandbox that goes down counts only if it was not asked to", async () => {
  const failure = { code: "VmmExited", message: "the VMM ended" };
  const metrics = fakeMetrics(() => [fakeSummary("a", { failure }), fakeSummary("b")]);
  for (const id of ["a", "b"])
    new ToldHistory(metrics.listener, id).transition(
      "sandbox",
      "vmm.exited",
      "ready.running",
      "stopping.vmm",
    );
  const text = await lines(metrics);
  expect(text.filter((line) => line.startsWith("blazar_sandbox_failures_total"))).toEqual([
    'blazar_sandbox_failures_total{code="VmmExited"} 1',
  ]);
});

test("a scrape tells sandboxes by phase, the parts' figures and what each VMM uses", async () => {
  const pods = [fakeSummary("a", { pid: process.pid }), fakeSummary("b", { phase: "booting" })];
  const ended = fakeSummary("c", { phase: "stopped", endedAt: 1 });
  const text = await lines(fakeMetrics(() => [...pods, ended]));
  expect(text).toContain('blazar_sandboxes{phase="ready"} 1');
  expect(text).toContain('blazar_sandboxes{phase="booting"} 1');
  expect(text).toContain('blazar_sandboxes{phase="stopped"} 0');
  expect(text).toContain("blazar_containers 2");
  expect(text).toContain("blazar_sandboxes_stuck 1");
  expect(text).toContain('blazar_turns{kind="starts",state="queued"} 4');
  expect(text).toContain('blazar_worker_tasks{pool="rootfs",state="queued"} 2');
  expect(text).toContain('blazar_guest_link_bytes_total{direction="sent"} 20');
  expect(text.filter((line) => line.startsWith("blazar_guest_link_held_seconds_total{"))).toEqual([
    'blazar_guest_link_held_seconds_total{namespace="default",pod="pod-a"} 1.5',
  ]);
  const memory = text.filter((line) => line.startsWith("blazar_vmm_resident_memory_bytes{"));
  expect(memory).toHaveLength(1);
  expect(memory[0]).toMatch(/^blazar_vmm_resident_memory_bytes\{namespace="default",pod="pod-a"\} [1-9]\d+$/);
});

test("only the oldest pods have series, and a pod that is gone has none", async () => {
  let pods = ["a", "b", "c"].map((id) => fakeSummary(id, { pid: process.pid }));
  const metrics = fakeMetrics(() => pods, 2);
  const shown = async () =>
    (await metrics.page()).text
      .split("\n")
      .filter((line) => line.startsWith("blazar_vmm_cpu_seconds_total{"));
  expect(await shown()).toHaveLength(2);
  expect((await metrics.page()).text).toContain("blazar_vmm_hidden 1");
  pods = pods.slice(2);
  expect(await shown()).toEqual([expect.stringContaining('pod="pod-c"')]);
  metrics.close();
});

test("whoever asks during a scrape gets the same one", async () => {
  const metrics = fakeMetrics(() => []);
  const [first, second] = await Promise.all([metrics.page(), metrics.page()]);
  metrics.close();
  expect(first).toBe(second);
});

test("hostile values of labels stay on their line, and are cut", () => {
  const store = new MetricStore();
  const step = `x"} 1\n# HELP \\ ${"y".repeat(1_000_000)}`;
  store.count("blazar_step_errors_total", { step, code: "Internal" });
  const [, , line = ""] = exposition(store).split("\n");
  expect(line).toMatch(/^blazar_step_errors_total\{step="x\\"} 1\\n# HELP \\\\ y+",code="Internal"} 1$/);
  expect(line.length).toBeLessThan(250);
});

test("a metric has a bounded number of series", () => {
  const store = new MetricStore();
  for (let index = 0; index < 10_000; index++)
    store.count("blazar_step_errors_total", { step: `step ${index}`, code: "Internal" });
  const series = [...store.scalarsOf("blazar_step_errors_total")];
  expect(series).toHaveLength(501);
  expect(series.at(-1)).toEqual({ labels: ["other", "other"], value: 9_500 });
});
