/** Dashboard and alert rules use metrics that there are, with labels that they have. */
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { METRIC_TABLE } from "../../src/observe/metrics/table.ts";

const DASHBOARD = "deploy/grafana/blazar.json";
const RULES = "deploy/prometheus/blazar-rules.yaml";
/** Labels that Prometheus gives by itself. */
const GIVEN = ["instance", "job", "le"];

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

/** Names in an expression that look like ours, without the ending of a histogram's series. */
function namesIn(text: string): string[] {
  return [...text.matchAll(/\b(?:blazar|process|nodejs)_[a-z_]+\b/g)].map(([name]) => {
    const base = name.replace(/_(?:bucket|sum|count)$/, "");
    return METRIC_TABLE[base]?.type === "histogram" ? base : name;
  });
}

/** `name{label=…}` and `by (label, …)` of the metrics in an expression. */
function unknownLabels(expression: string): string[] {
  const known = new Set([
    ...GIVEN,
    ...namesIn(expression).flatMap((name) => METRIC_TABLE[name]?.labels ?? []),
  ]);
  const selected = [...expression.matchAll(/([a-z_]+)\s*(?:=~|!=|!~|=)\s*\\?"/g)].map(
    ([, label = ""]) => label,
  );
  const grouped = [...expression.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, labels = ""]) =>
    labels.split(",").map((label) => label.trim()),
  );
  return [...selected, ...grouped].filter((label) => !known.has(label));
}

async function dashboardExpressions(): Promise<string[]> {
  const { panels } = JSON.parse(await readFile(DASHBOARD, "utf8")) as { readonly panels: readonly Panel[] };
  return panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
}

async function ruleExpressions(): Promise<string[]> {
  const text = await readFile(RULES, "utf8");
  return text
    .split(/^ {6}- alert:/m)
    .slice(1)
    .map((rule) => /expr:([\s\S]*?)^ {8}(?:for|labels):/m.exec(rule)?.[1] ?? "");
}

test.each([
  ["the dashboard", dashboardExpressions, 25],
  ["the alert rules", ruleExpressions, 14],
])("%s names only metrics and labels of the table", async (_, read, least) => {
  const expressions = await read();
  expect(expressions.length).toBeGreaterThanOrEqual(least);
  for (const expression of expressions) {
    const names = namesIn(expression);
    if (!expression.includes("up{")) expect(names, expression).not.toEqual([]);
    expect(names.filter((name) => METRIC_TABLE[name] === undefined)).toEqual([]);
    expect(unknownLabels(expression), expression).toEqual([]);
  }
});

test("the dashboard's panels do not overlap, and have ids of their own", async () => {
  const { panels } = JSON.parse(await readFile(DASHBOARD, "utf8")) as {
    readonly panels: readonly { id: number; gridPos: { x: number; y: number; w: number; h: number } }[];
  };
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const taken = new Set<string>();
  for (const { gridPos } of panels)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect(x).toBeLessThan(24);
        expect(taken.has(`${x},${y}`)).toBe(false);
        taken.add(`${x},${y}`);
      }
});
