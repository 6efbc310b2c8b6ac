/**
 * The daemon's figures between the inspection contract and its protobuf message, both ways.
 */

import type { NodeStatus } from "../../contracts/inspection.ts";
import { KVM_STATES, type KvmFinding } from "../../contracts/kvm.ts";
import type * as wire from "../generated/blazar/inspection/v1/inspection.ts";

export function nodeToWire({ pool, ...same }: NodeStatus): wire.NodeResponse {
  return {
    ...same,
    phases: { ...same.phases },
    starts: { ...same.starts },
    steps: [...same.steps],
    shortages: [...same.shortages],
    troubles: [...same.troubles],
    poolWarm: pool.warm,
    poolWanted: pool.wanted,
  };
}

export function nodeFromWire({ poolWarm, poolWanted, kvm, ...same }: wire.NodeResponse): NodeStatus {
  return { ...same, kvm: kvmFromWire(kvm), pool: { warm: poolWarm, wanted: poolWanted } };
}

/** A state that this version does not know is as if nothing was told. */
function kvmFromWire(kvm: wire.Kvm | undefined): KvmFinding | undefined {
  const state = KVM_STATES.find((each) => each === kvm?.state);
  return state === undefined || kvm === undefined
    ? undefined
    : { state, reason: kvm.reason, remedy: kvm.remedy };
}
