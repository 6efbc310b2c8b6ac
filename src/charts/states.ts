/**
 * Walks the nested states of a chart's definition, or of anything made of it. Pure.
 */
import type { ChartStateDefinition } from "../contracts/inspection.ts";

/** All of them, outer ones before their inner ones. */
export function allStates<State extends { readonly states: readonly State[] }>(
  states: readonly State[],
): State[] {
  return states.flatMap((state) => [state, ...allStates(state.states)]);
}

/** The state with this path. */
export function findState(
  states: readonly ChartStateDefinition[],
  path: string,
): ChartStateDefinition | undefined {
  return allStates(states).find((state) => state.path === path);
}
