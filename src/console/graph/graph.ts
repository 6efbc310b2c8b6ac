/**
 * `blazar graph`: which chart is meant, and its drawing.
 *
 * A word that names a chart means its definition; any other means a sandbox, of which the innermost chart that moves is drawn
 * unless one is named.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { ChartDefinition, ChartState, SandboxDetail } from "../../contracts/inspection.ts";
import { harmless } from "../../lib/harmless.ts";
import { type Asked, find } from "../asked.ts";
import { structured } from "../structured.ts";
import { mermaid } from "./mermaid.ts";

export interface GraphView {
  readonly word: string | undefined;
  readonly chart: string | undefined;
  readonly format: "mermaid" | "svg" | "json";
}

export async function graphText(
  daemon: Pick<Asked, "charts" | "list" | "get">,
  { word = "sandbox", chart, format }: GraphView,
): Promise<string> {
  const definitions = await daemon.charts();
  const asked = definitions.find(({ name }) => name === word);
  const state =
    asked === undefined ? chartOf(await daemon.get((await find(daemon, word)).id), chart) : undefined;
  const definition = asked ?? definitions.find(({ name }) => name === state?.chart);
  if (definition === undefined) throw unknown(state?.chart ?? word, definitions);
  const active = state?.active ?? [];
  if (format === "json") return structured({ definition, active }, "json");
  if (format === "mermaid") return mermaid(definition, active);
  // the layout's library is as large as all of the rest
  const { chartSvg } = await import("./svg.ts");
  return await chartSvg(definition, active);
}

/** The boot's chart while there is one that moves, else the sandbox's. */
function chartOf({ charts, summary }: SandboxDetail, key: string | undefined): ChartState {
  const wanted = key ?? (summary.phase === "booting" ? "boot" : "sandbox");
  const found = charts.find((each) => each.key === wanted) ?? (key === undefined ? charts[0] : undefined);
  if (found !== undefined) return found;
  const remedy = `it has ${charts.map((each) => harmless(each.key)).join(", ") || "none"}`;
  throw blazarError("InvalidArgument", "draw a chart", "the sandbox has no such chart", {
    subject: wanted,
    remedy,
  });
}

function unknown(name: string, definitions: readonly ChartDefinition[]) {
  const remedy = `there are ${definitions.map((each) => each.name).join(", ")}`;
  return blazarError("InvalidArgument", "draw a chart", "there is no such chart", {
    subject: harmless(name),
    remedy,
  });
}
