/**
 * A chart as a Mermaid `stateDiagram-v2`: compound states nested, one arrow for each pair of states, active states lit.
 *
 * Mermaid draws no arrow between the insides of two states: one that leaves a state from within is drawn from the outer state,
 * with the inner state's name in its label.
 */
import { allStates, findState } from "../../charts/states.ts";
import type { ChartDefinition, ChartStateDefinition, ChartTransition } from "../../contracts/inspection.ts";

/** @param active paths of states that are lit */
export function mermaid(
  definition: Pick<ChartDefinition, "states" | "initial">,
  active: readonly string[] = [],
): string {
  const lines = ["stateDiagram-v2", ...level(definition.states, definition.initial, "", "  ")];
  const lit = active.filter((path) => findState(definition.states, path)?.states.length === 0);
  if (lit.length > 0) {
    lines.push("  classDef active fill:#f59e0b,stroke:#b45309,color:#111827,font-weight:bold");
    lines.push(`  class ${lit.map(idOf).join(",")} active`);
  }
  return `${lines.join("\n")}\n`;
}

function level(
  states: readonly ChartStateDefinition[],
  initial: string,
  parent: string,
  indent: string,
): string[] {
  const lines = initial === "" ? [] : [`${indent}[*] --> ${idOf(initial)}`];
  for (const state of states) {
    const declared = `${indent}state "${state.name}" as ${idOf(state.path)}`;
    if (state.states.length > 0) {
      lines.push(
        `${declared} {`,
        ...level(state.states, state.initial, state.path, `${indent}  `),
        `${indent}}`,
      );
      continue;
    }
    lines.push(declared);
    if (state.type === "final") lines.push(`${indent}${idOf(state.path)} --> [*]`);
  }
  return [...lines, ...arrows(states, parent, indent)];
}

/** The arrows between the states of one level. */
function arrows(states: readonly ChartStateDefinition[], parent: string, indent: string): string[] {
  const drawn = new Map<string, Set<string>>();
  for (const child of states) {
    for (const source of [child, ...allStates(child.states)]) {
      for (const { target, on } of targetsOf(source)) {
        if (parentOf(target) !== parent || (target === child.path && source !== child)) continue;
        const arrow = `${idOf(child.path)} --> ${idOf(target)}`;
        const inner = source === child || on === "" ? "" : `${source.name}: `;
        drawn.set(arrow, (drawn.get(arrow) ?? new Set()).add(`${inner}${on}`));
      }
    }
  }
  return [...drawn].map(([arrow, labels]) => {
    const text = [...labels].filter((each) => each !== "").join(", ");
    return `${indent}${arrow}${text === "" ? "" : ` : ${text}`}`;
  });
}

function targetsOf({ transitions }: { readonly transitions: readonly ChartTransition[] }) {
  return transitions.flatMap(({ targets, on }) => targets.map((target) => ({ target, on })));
}

function parentOf(path: string): string {
  return path.includes(".") ? path.slice(0, path.lastIndexOf(".")) : "";
}

function idOf(path: string): string {
  return path.replaceAll(".", "_");
}
