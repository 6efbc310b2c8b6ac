/**
 * A chart as an SVG of its own: the page's layout (src/charts/), drawn without scripts, styles apart, and light or dark by the reader.
 *
 * Definitions are the daemon's, but every text is escaped all the same.
 */

import ElkConstructor from "elkjs/lib/elk.bundled.js";
import type { ELK as Elk } from "elkjs/lib/elk-api.js";
import { type GraphState, graphOf } from "../../charts/graph.ts";
import { type Box, fromElk, type Layout, type PlacedEdge, toElk } from "../../charts/layout.ts";
import { allStates } from "../../charts/states.ts";
import type { ChartDefinition } from "../../contracts/inspection.ts";

/** Around the drawing. */
const MARGIN = 12;
const TITLE = 28;
const LINE = 14;

const STYLE = `
  svg { color-scheme: light dark; font: 12px ui-sans-serif, system-ui, sans-serif; background: light-dark(#fff, #14161a) }
  text { fill: light-dark(#1c2024, #e6e8eb) }
  .title { font-size: 15px; font-weight: 600 }
  .state rect { fill: light-dark(#f6f7f9, #1d2025); stroke: light-dark(#9aa3af, #5b6370) }
  .state text { text-anchor: middle }
  .outer > text { font-weight: 600 }
  .effect { fill: light-dark(#5f6b7a, #98a2b0); font-size: 11px }
  .final rect { stroke-width: 2.5 }
  .active rect { fill: light-dark(#fde9c8, #4a3511); stroke: #d97706; stroke-width: 2 }
  .edge path { fill: none; stroke: light-dark(#7b8592, #78828f) }
  .edge text { font-size: 11px; fill: light-dark(#4b5563, #aab3bf) }
  marker path, .dot { fill: light-dark(#7b8592, #78828f) }
`;

/** @param active paths of states that are lit */
export async function chartSvg(definition: ChartDefinition, active: readonly string[]): Promise<string> {
  const graph = graphOf(definition);
  const elk: Elk = new ElkConstructor();
  const layout = fromElk(await elk.layout(toElk(graph, "DOWN")), graph);
  const lit = new Set(active);
  const states = allStates(graph.states).map((state) =>
    stateSvg(state, layout, lit.has(state.definition.path)),
  );
  const [width, height] = [layout.width + 2 * MARGIN, layout.height + 2 * MARGIN + TITLE];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${round(width)}" height="${round(height)}" viewBox="0 0 ${round(width)} ${round(height)}" role="img" aria-label="${escaped(definition.title)}">`,
    `<style>${STYLE}</style>`,
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>',
    `<text class="title" x="${MARGIN}" y="20">${escaped(definition.title)}</text>`,
    `<g transform="translate(${MARGIN} ${MARGIN + TITLE})">`,
    ...states,
    ...layout.edges.map(edgeSvg),
    ...layout.beginnings.map(beginningSvg),
    "</g>",
    "</svg>\n",
  ].join("\n");
}

function stateSvg({ definition, states }: GraphState, { states: boxes }: Layout, isActive: boolean): string {
  const box = boxes.get(definition.path);
  if (box === undefined) return "";
  const names = [
    "state",
    ...(states.length > 0 ? ["outer"] : []),
    definition.type,
    ...(isActive ? ["active"] : []),
  ];
  const middle = round(box.x + box.width / 2);
  const top =
    states.length > 0 ? box.y + 18 : box.y + (definition.effects.length > 0 ? 20 : box.height / 2 + 4);
  const effects = definition.effects.join(", ");
  return [
    `<g class="${names.join(" ")}">`,
    ...(definition.description === "" ? [] : [`<title>${escaped(definition.description)}</title>`]),
    `<rect ${attributes(box)} rx="6"/>`,
    `<text x="${middle}" y="${round(top)}">${escaped(definition.name)}</text>`,
    ...(effects === ""
      ? []
      : [`<text class="effect" x="${middle}" y="${round(top + LINE)}">${escaped(effects)}</text>`]),
    "</g>",
  ].join("");
}

function edgeSvg({ path, label, lines }: PlacedEdge): string {
  const spans = lines.map(
    (line, index) =>
      `<tspan x="${round(label.x)}" y="${round(label.y + 11 + index * LINE)}">${escaped(line)}</tspan>`,
  );
  return `<g class="edge"><path d="${path}" marker-end="url(#arrow)"/><text>${spans.join("")}</text></g>`;
}

function beginningSvg({ dot, path }: Layout["beginnings"][number]): string {
  const radius = dot.width / 2;
  const circle = `<circle class="dot" cx="${round(dot.x + radius)}" cy="${round(dot.y + radius)}" r="${radius}"/>`;
  return `<g class="edge">${circle}<path d="${path}" marker-end="url(#arrow)"/></g>`;
}

function attributes({ x, y, width, height }: Box): string {
  return `x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}"`;
}

function round(value: number): string {
  return value.toFixed(1).replace(/\.0$/, "");
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (found) => ENTITIES[found] ?? "").replaceAll(/\p{Cc}/gu, "");
}
