/**
 * State charts as Mermaid diagrams and tables, read from the machines themselves, so that docs cannot fall behind.
 */
import type { AnyStateMachine, AnyStateNode } from "xstate";

/** A `stateDiagram-v2` of a machine: compound states nested, one arrow a transition. */
export function mermaid(machine: AnyStateMachine): string {
  const lines = ["stateDiagram-v2", ...states(machine.root, "  ")];
  return ["```mermaid", ...lines, "```"].join("\n");
}

/** Every state with the events that it takes itself and what it does; those of its parents hold as well. */
export function table(machine: AnyStateMachine): string {
  const rows = descendants(machine.root).map((node) => {
    const takes = [...new Set(node.transitions.keys())].filter((event) => !event.startsWith("xstate."));
    const waits = [...node.transitions.keys()]
      .filter((event) => event.startsWith("xstate.after"))
      .map((event) => `\`${deadline(event)}\``);
    const does = node.invoke.map(({ src }) => `\`${String(src)}\``);
    return `| \`${pathOf(node)}\` | ${does.join(", ")} | ${takes.map((event) => `\`${event}\``).join(", ")} | ${waits.join(", ")} | ${node.description ?? ""} |`;
  });
  return ["| state | effect | takes | deadline | |", "|---|---|---|---|---|", ...rows].join("\n");
}

function states(node: AnyStateNode, indent: string): string[] {
  const lines: string[] = [];
  const initial = node.initial?.target?.[0];
  if (initial !== undefined) lines.push(`${indent}[*] --> ${idOf(initial)}`);
  for (const child of Object.values(node.states)) {
    if (Object.keys(child.states).length === 0) {
      lines.push(`${indent}state "${child.key}" as ${idOf(child)}`);
      if (child.type === "final") lines.push(`${indent}${idOf(child)} --> [*]`);
    } else {
      lines.push(
        `${indent}state "${child.key}" as ${idOf(child)} {`,
        ...states(child, `${indent}  `),
        `${indent}}`,
      );
    }
  }
  return [...lines, ...arrows(node, indent)];
}

/**
 * The arrows between this node's children. Mermaid draws none between the insides of two states: an arrow that leaves
 * a child from within is drawn from the child itself, with the name of the inner state in its label.
 */
function arrows(node: AnyStateNode, indent: string): string[] {
  const drawn = new Map<string, Set<string>>();
  for (const child of Object.values(node.states)) {
    for (const source of [child, ...descendants(child)]) {
      for (const { to, event } of targets(source)) {
        if (to.parent !== node || (to === child && source !== child)) continue;
        const inner = source === child ? "" : `${source.key}: `;
        const arrow = `${idOf(child)} --> ${idOf(to)}`;
        drawn.set(arrow, (drawn.get(arrow) ?? new Set()).add(event === "" ? "" : `${inner}${event}`));
      }
    }
  }
  return [...drawn].map(([arrow, labels]) => {
    const text = [...labels].filter((each) => each !== "").join(", ");
    return `${indent}${arrow}${text === "" ? "" : ` : ${text}`}`;
  });
}

function targets(node: AnyStateNode): { to: AnyStateNode; event: string }[] {
  const named = [...node.transitions].flatMap(([event, transitions]) =>
    transitions.flatMap(({ target }) => (target ?? []).map((to) => ({ to, event: label(event) }))),
  );
  const always = (node.always ?? []).flatMap(({ target }) => (target ?? []).map((to) => ({ to, event: "" })));
  return [...named, ...always];
}

function label(event: string): string {
  if (event.startsWith("xstate.after")) return `after ${deadline(event)}`;
  if (event.startsWith("xstate.done")) return "done";
  if (event.startsWith("xstate.error")) return "failed";
  return event;
}

/** `xstate.after.launch.sandbox.booting` → `launch`. */
function deadline(event: string): string {
  return event.split(".")[2] ?? event;
}

function descendants(node: AnyStateNode): AnyStateNode[] {
  return Object.values(node.states).flatMap((child) => [child, ...descendants(child)]);
}

function pathOf(node: AnyStateNode): string {
  return node.path.join(".");
}

function idOf(node: AnyStateNode): string {
  return node.path.join("_");
}
