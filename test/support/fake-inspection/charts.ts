/**
 * The charts' definitions, read from the machines themselves.
 */
import type { AnyStateMachine, AnyStateNode } from "xstate";
import type {
  ChartDefinition,
  ChartName,
  ChartStateDefinition,
  ChartTransition,
} from "../../../src/contracts/inspection.ts";
import { containerMachine } from "../../../src/machines/container.machine.ts";
import { processMachine } from "../../../src/machines/process.machine.ts";
import { sandboxMachine } from "../../../src/machines/sandbox.machine.ts";
import { vmBootMachine } from "../../../src/machines/vm-boot.machine.ts";

const MACHINES: readonly (readonly [ChartName, string, AnyStateMachine])[] = [
  ["sandbox", "Sandbox", sandboxMachine],
  ["boot", "Start of a VM", vmBootMachine],
  ["container", "Container", containerMachine],
  ["process", "Process", processMachine],
];

export const CHARTS: readonly ChartDefinition[] = MACHINES.map(([name, title, { root }]) => ({
  name,
  title,
  initial: initialOf(root),
  states: Object.values(root.states).map(definition),
  transitions: transitionsOf(root),
}));

function definition(node: AnyStateNode): ChartStateDefinition {
  const type = node.type === "history" ? "atomic" : node.type;
  const after = [...node.transitions.keys()].filter((event) => event.startsWith("xstate.after"));
  return {
    path: pathOf(node),
    name: node.key,
    description: node.description ?? "",
    type,
    initial: initialOf(node),
    effects: node.invoke.map(({ src }) => String(src)),
    deadlines: after.map((event) => event.split(".")[2] ?? ""),
    transitions: transitionsOf(node),
    states: Object.values(node.states).map(definition),
  };
}

function transitionsOf(node: AnyStateNode): ChartTransition[] {
  const all = [...node.transitions.values()].flat();
  return [...all, ...(node.always ?? [])].map(({ eventType, guard, target, actions }) => {
    const guardName = nameOf(guard);
    return {
      on: eventName(eventType),
      ...(guardName === "" ? {} : { guard: guardName }),
      targets: (target ?? []).map(pathOf),
      actions: actions.map(nameOf).filter((name) => name !== ""),
    };
  });
}

function nameOf(part: unknown): string {
  if (typeof part === "string") return part;
  if (typeof part === "function") return part.name;
  return typeof part === "object" && part !== null && "type" in part ? String(part.type) : "";
}

function eventName(event: string): string {
  if (event.startsWith("xstate.after")) return `after ${event.split(".")[2] ?? ""}`;
  if (event.startsWith("xstate.done")) return "done";
  return event.startsWith("xstate.error") ? "failed" : event;
}

function initialOf(node: AnyStateNode): string {
  const target = node.initial?.target?.[0];
  return target === undefined ? "" : pathOf(target);
}

function pathOf(node: AnyStateNode): string {
  return node.path.join(".");
}
