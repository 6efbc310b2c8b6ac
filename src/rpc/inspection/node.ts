/**
 * The daemon's figures between the inspection contract and its protobuf message, both ways.
 */
import type { NodeStatus } from "../../contracts/inspection.ts";
import type * as wire from "../generated/blazar/inspection/v1/inspection.ts";

export function nodeToWire({ pool, ...same }: NodeStatus): wire.NodeResponse {
  return {
    ...same,
    phases: { ...same.phases },
    starts: { ...same.starts },
    steps: [...same.steps],
    shortages: [...same.shortages],
    poolWarm: pool.warm,
    poolWanted: pool.wanted,
  };
}

export function nodeFromWire({ poolWarm, poolWanted, ...same }: wire.NodeResponse): NodeStatus {
  return { ...same, pool: { warm: poolWarm, wanted: poolWanted } };
}
