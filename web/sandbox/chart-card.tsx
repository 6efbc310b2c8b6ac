/** The charts of a sandbox, one at a time: its own, its VM's start, its containers', its processes'. */
import { useMemo } from "react";
import { chartOfKey } from "../../src/charts/names.ts";
import type { ChartDefinition, ChartKey, SandboxDetail } from "../../src/contracts/inspection.ts";
import { ChartView } from "../chart/chart-view.tsx";
import { harmless } from "../model/harmless.ts";
import { chartAt } from "../model/moments.ts";
import { duration, shortId } from "../model/words.ts";
import { Card, Nothing } from "../parts/card.tsx";
import { Tabs } from "../parts/tabs.tsx";

export interface ChartCardProps {
  readonly detail: SandboxDetail;
  readonly charts: readonly ChartDefinition[];
  readonly chartKey: ChartKey;
  readonly keys: readonly ChartKey[];
  readonly choose: (key: ChartKey) => void;
  readonly at: number;
  readonly isPast: boolean;
}

export function ChartCard({ detail, charts, chartKey, keys, choose, at, isPast }: ChartCardProps) {
  const moments = useMemo(
    () => new Map(keys.map((key) => [key, chartAt(detail, key, at)])),
    [detail, keys, at],
  );
  const moment = moments.get(chartKey);
  const definition = charts.find(({ name }) => name === chartOfKey(chartKey));
  const deadlines = isPast ? [] : detail.deadlines.filter(({ chart }) => chart === chartKey);
  const tabs = keys.map((key) => {
    const state = moments.get(key)?.active.at(-1) ?? "";
    const label = (
      <>
        <span className="tab-name">{nameOf(key)}</span>
        <span className="tab-state">{state === "" ? "not there" : state}</span>
      </>
    );
    return { key, label };
  });
  return (
    <Card title="State charts" className="chart-card">
      <Tabs label="Charts" tabs={tabs} chosen={chartKey} choose={(key) => choose(key as ChartKey)}>
        {definition === undefined && <Nothing>The daemon has no chart of this name.</Nothing>}
        {moment !== undefined && (
          <p className="chart-line">
            {moment.active.length === 0 ? (
              "Not there at this moment."
            ) : (
              <>
                <b>{moment.active.at(-1)}</b> for {duration(Math.max(0, at - moment.since))}
                {moment.by !== undefined && (
                  <span className="faint">
                    {" "}
                    · by <code>{harmless(moment.by.name === "" ? "always" : moment.by.name, 60)}</code>
                    {moment.by.error !== undefined && ` · ${harmless(moment.by.error, 160)}`}
                  </span>
                )}
              </>
            )}
          </p>
        )}
        {definition !== undefined && moment !== undefined && (
          <ChartView
            key={definition.name}
            definition={definition}
            moment={moment}
            deadlines={deadlines}
            at={at}
          />
        )}
      </Tabs>
    </Card>
  );
}

/** `Sandbox`, `VM start`, `Container c0`, `Process of c0`, `exec e1 of c0`. */
function nameOf(key: ChartKey): string {
  const [chart, container = "", ...exec] = key.split("/");
  const id = harmless(shortId(container), 20);
  if (chart === "container") return `Container ${id}`;
  if (chart === "process")
    return exec.join("/") === "" ? `Process of ${id}` : `Exec ${harmless(exec.join("/"), 12)} of ${id}`;
  return chart === "boot" ? "VM start" : "Sandbox";
}
