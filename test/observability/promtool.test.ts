/** The real promtool on our metrics, our alert rules and the dashboard's expressions. */
import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exposition } from "../../src/observe/metrics/exposition.ts";
import { MetricStore } from "../../src/observe/metrics/store.ts";
import { type HistogramName, METRIC_TABLE } from "../../src/observe/metrics/table.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const PROMTOOL = process.env["BLAZAR_PROMTOOL"] ?? "promtool";

function promtool(args: readonly string[], input = "") {
  const { status, stdout, stderr } = spawnSync(PROMTOOL, args, { input, encoding: "utf8" });
  return { status, said: `${stdout}${stderr}` };
}

/** A page on which every metric of the table has a series. */
function everyMetric(): string {
  const store = new MetricStore();
  for (const [name, { type, labels }] of Object.entries(METRIC_TABLE)) {
    const values = Object.fromEntries(labels.map((label) => [label, `a "value" \\ of ${label}\n`]));
    if (type === "histogram") store.observe(name as HistogramName, values as never, 0.5);
    else store.set(name as "blazar_sandboxes_stuck", values, 1.5);
  }
  return exposition(store);
}

test("promtool finds nothing to say about our metrics", () => {
  const page = everyMetric();
  expect(page.match(/^# TYPE /gm)).toHaveLength(Object.keys(METRIC_TABLE).length);
  expect(promtool(["check", "metrics"], page)).toEqual({ status: 0, said: "" });
});

test("promtool does find what is wrong with a metric", () => {
  const page = "# TYPE blazar_things counter\nblazar_things 1\n";
  const { status, said } = promtool(["check", "metrics"], page);
  expect(status).not.toBe(0);
  expect(said).toContain('counter metrics should have "_total" suffix');
});

test("the alert rules are well-formed", () => {
  expect(promtool(["check", "rules", "deploy/prometheus/blazar-rules.yaml"])).toMatchObject({ status: 0 });
});

test("each alert is raised by what it is for, and by nothing else", () => {
  const { status, said } = promtool(["test", "rules", "test/observability/blazar-rules.test.yaml"]);
  expect(said).toContain("SUCCESS");
  expect(status).toBe(0);
});

test("Prometheus understands every expression of the dashboard", async () => {
  const text = await readFile("deploy/grafana/blazar.json", "utf8");
  const { panels } = JSON.parse(text) as {
    panels: { title: string; targets?: { expr: string }[] }[];
  };
  const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  expect(expressions.length).toBeGreaterThan(20);
  const rules = expressions.map((expr, index) => ({
    record: `panel:expression:${index}`,
    expr: expr.replaceAll("$__rate_interval", "5m").replaceAll("$instance", ".*"),
  }));
  const file = join(await temporaryDirectory(), "dashboard.json");
  // JSON is YAML
  await writeFile(file, JSON.stringify({ groups: [{ name: "dashboard", rules }] }));
  expect(promtool(["check", "rules", file])).toMatchObject({ status: 0 });
});
