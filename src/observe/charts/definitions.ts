/**
 * The charts as their machines define them, as plain data: for the page, for `blazar graph` and for the docs.
 */
import type { AnyStateMachine, AnyStateNode } from "xstate";
import { eventName } from "../../charts/names.ts";
import type {
  ChartDefinition,
  ChartName,
  ChartStateDefinition,
  ChartTransition,
} from "../../contracts/inspection.ts";
import { containerMachine } from "../../machines/container.machine.ts";
import { processMachine } from "../../machines/process.machine.ts";
import { sandboxMachine } from "../../machines/sandbox.machine.ts";
import { vmBootMachine } from "../../machines/vm-boot.machine.ts";

const MACHINES: Readonly<Record<ChartName, { readonly title: string; readonly machine: AnyStateMachine }>> = {
  sandbox: { title: "Sandbox", machine: sandboxMachine },
  boot: { title: "Start of a VM", machine: vmBootMachine },
  container: { title: "Container", machine: containerMachine },
  process: { title: "Process", machine: processMachine },
};

let known: readonly ChartDefinition[] | undefined;

/** The definitions of all charts; made when they are first asked for. */
export function chartDefinitions(): readonly ChartDefinition[] {
  known ??= (Object.keys(MACHINES) as ChartName[]).map((name) => {
    const { title, machine } = MACHINES[name];
    return { name, title, ...definitionOf(machine) };
  });
  return known;
}

/** What a machine says of itself. */
export function definitionOf({ root }: AnyStateMachine): Omit<ChartDefinition, "name" | "title"> {
  return {
    initial: initialOf(root),
    states: Object.values(root.states).map(stateDefinition),
    transitions: transitionsOf(root),
  };
}

function stateDefinition(node: AnyStateNode): ChartStateDefinition {
  const events = [...node.transitions.keys()];
  return {
    path: pathOf(node),
    name: node.key,
    description: node.description ?? "",
    type: node.type === "history" ? "atomic" : node.type,
    initial: initialOf(node),
    effects: node.invoke.map(({ src }) => String(src)),
    deadlines: events.filter((event) => event.startsWith("xstate.after.")).map(deadlineOf),
    transitions: transitionsOf(node),
    states: Object.values(node.states).map(stateDefinition),
  };
}

function transitionsOf(node: AnyStateNode): ChartTransition[] {
  const all = [...[...node.transitions.values()].flat(), ...(node.always ?? [])];
  return all.map(({ eventType, guard, target, actions }) => {
    const guardName = nameOf(guard);
    return {
      on: eventName(eventType),
      ...(guardName === "" ? {} : { guard: guardName }),
      targets: (target ?? []).map(pathOf),
      actions: actions.map(nameOf).filter((name) => name !== ""),
    };
  });
}

/** Actions and guards that are functions in place have no name that says anything. */
function nameOf(part: unknown): string {
  if (typeof part === "string") return part;
  if (typeof part !== "object" || part === null || !("type" in part)) return "";
  return String(part.type);
}

/** `xstate.after.launch.vmBoot.forking` → `launch`. */
function deadlineOf(event: string): string {
  return event.split(".")[2] ?? "";
}

function initialOf(node: AnyStateNode): string {
  const target = node.initial?.target?.[0];
  return target === undefined ? "" : pathOf(target);
}

function pathOf(node: AnyStateNode): string {
  return node.path.join(".");
}
