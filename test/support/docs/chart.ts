/**
 * State charts as tables, and as Mermaid diagrams by the product's own drawing, read from the machines themselves, so that docs
 * cannot fall behind.
 */
import type { AnyStateMachine } from "xstate";
import { allStates } from "../../../src/charts/states.ts";
import { mermaid } from "../../../src/console/graph/mermaid.ts";
import type { ChartTransition } from "../../../src/contracts/inspection.ts";
import { definitionOf } from "../../../src/observe/charts/definitions.ts";

/** A `stateDiagram-v2` of a machine: compound states nested, one arrow a transition. */
export function diagram(machine: AnyStateMachine): string {
  return `\`\`\`mermaid\n${mermaid(definitionOf(machine))}\`\`\``;
}

/** Every state with the events that it takes itself and what it does; those of its parents hold as well. */
export function table(machine: AnyStateMachine): string {
  const rows = allStates(definitionOf(machine).states).map(
    ({ path, effects, transitions, deadlines, description }) =>
      `| \`${path}\` | ${quoted(effects)} | ${quoted(taken(transitions))} | ${quoted(deadlines)} | ${description} |`,
  );
  return ["| state | effect | takes | deadline | |", "|---|---|---|---|---|", ...rows].join("\n");
}

/** Events of others; what the state waits for itself has columns of its own. */
function taken(transitions: readonly ChartTransition[]): string[] {
  const events = new Set(transitions.map(({ on }) => on));
  return [...events].filter((on) => !/^(|done|failed|after .+)$/.test(on));
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(", ");
}
