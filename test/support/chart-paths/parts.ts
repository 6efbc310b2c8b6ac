/**
 * What a chart consists of, in the words of docs/charts.md: what its paths have to reach.
 */
import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from "xstate";
import { eventName } from "../../../src/charts/names.ts";

/** All states below a chart's root, and the root itself. */
export function nodesOf(machine: AnyStateMachine): readonly AnyStateNode[] {
  const below = (node: AnyStateNode): AnyStateNode[] => [node, ...Object.values(node.states).flatMap(below)];
  return below(machine.root);
}

export function transitionsOf(machine: AnyStateMachine): readonly AnyTransitionDefinition[] {
  return nodesOf(machine).flatMap((node) => [
    ...[...node.transitions.values()].flat(),
    ...(node.always ?? []),
  ]);
}

/** Effects that a state waits for. */
export function invokedBy(machine: AnyStateMachine): ReadonlySet<string> {
  return new Set(nodesOf(machine).flatMap(({ invoke }) => invoke.map(({ src }) => String(src))));
}

/** Types of the events that are told to a chart by others. */
export function eventsOf(machine: AnyStateMachine): ReadonlySet<string> {
  const types = transitionsOf(machine).map(({ eventType }) => eventType);
  return new Set(types.filter((type) => type !== "" && !type.startsWith("xstate.")));
}

export function isDeadline({ eventType }: AnyTransitionDefinition): boolean {
  return eventType.startsWith("xstate.after.");
}

/** `creating: after provision → failing`. */
export function words({ source, eventType, target }: AnyTransitionDefinition): string {
  const on = eventName(eventType) || "always";
  const targets = (target ?? []).map(({ path }) => path.join("."));
  return `${source.path.join(".") || "anywhere"}: ${on}${targets.length === 0 ? "" : ` → ${targets.join(", ")}`}`;
}
