/**
 * Definitions of charts between the inspection contract and their protobuf messages, both ways.
 */
import type { ChartDefinition, ChartStateDefinition, ChartTransition } from "../../contracts/inspection.ts";
import type * as wire from "../generated/blazar/inspection/v1/inspection.ts";
import { toChartName, toStateType } from "./checks.ts";

export function definitionToWire(definition: ChartDefinition): wire.ChartDefinition {
  const { states, transitions } = definition;
  return {
    ...definition,
    states: states.map(stateToWire),
    transitions: transitions.map(transitionToWire),
  };
}

export function definitionFromWire({
  name,
  states,
  transitions,
  ...same
}: wire.ChartDefinition): ChartDefinition {
  return {
    ...same,
    name: toChartName(name),
    states: states.map(stateFromWire),
    transitions: transitions.map(transitionFromWire),
  };
}

function stateToWire(state: ChartStateDefinition): wire.ChartStateDefinition {
  const { effects, deadlines, states, transitions } = state;
  return {
    ...state,
    effects: [...effects],
    deadlines: [...deadlines],
    states: states.map(stateToWire),
    transitions: transitions.map(transitionToWire),
  };
}

function stateFromWire({
  type,
  states,
  transitions,
  ...same
}: wire.ChartStateDefinition): ChartStateDefinition {
  return {
    ...same,
    type: toStateType(type),
    states: states.map(stateFromWire),
    transitions: transitions.map(transitionFromWire),
  };
}

function transitionToWire({ on, guard, targets, actions }: ChartTransition): wire.ChartTransition {
  return { on, guard: guard ?? "", targets: [...targets], actions: [...actions] };
}

function transitionFromWire({ on, guard, targets, actions }: wire.ChartTransition): ChartTransition {
  return { on, ...(guard === "" ? {} : { guard }), targets, actions };
}
