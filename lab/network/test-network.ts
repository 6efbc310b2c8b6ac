/**
 * `npm run test:network`: every case under runc and under blazar on the rig's private node, side by side.
 *
 * A difference fails the run unless the case explains it. The last line is `N same, 0 different, M explained`.
 */
import { artifacts } from "../../setup/steps/artifacts.ts";
import { blazarError, reasonOf } from "../../src/contracts/errors.ts";
import type { Handler } from "../fidelity/handler-pod.ts";
import { reasonAgainstContainerd } from "../host/containerd-check.ts";
import { interruptible } from "../host/interruption.ts";
import { type NetworkCase, Scene, SharedPods } from "./case.ts";
import { NETWORK_CASES } from "./cases/all.ts";
import { NetworkReport } from "./report.ts";
import { NetworkRig } from "./rig.ts";

export interface TestNetworkOptions {
  /** The bundled product, `dist/blazar.mjs`. */
  readonly program: string;
  readonly handlers: readonly Handler[];
  /** Only cases with this text in their name, or with one of several: `bridge|ptp`. */
  readonly only: string;
}

/** Runs the cases; the returned number is the exit code. */
export function testNetwork(options: TestNetworkOptions): Promise<number> {
  return interruptible("test pods' networks", (signal) => compare(options, signal));
}

async function compare(
  { program, handlers, only }: TestNetworkOptions,
  signal: AbortSignal,
): Promise<number> {
  const built = artifacts();
  const reason = await reasonAgainstContainerd(built);
  if (reason !== undefined || built.containerd === null)
    throw blazarError("DependencyMissing", "test pods' networks", reason ?? "set-up has no containerd");
  const texts = only.split("|");
  const cases = NETWORK_CASES.filter(({ name }) => texts.some((text) => name.includes(text)));
  const report = new NetworkReport(process.stdout, handlers);
  const rig = await NetworkRig.start({ program, containerd: built.containerd.bin, busybox: built.busybox });
  try {
    const pods = handlers.map((handler) => new SharedPods(rig, handler));
    for (const each of cases) {
      signal.throwIfAborted();
      const given: Partial<Record<Handler, string>> = {};
      for (const shared of pods) given[shared.handler] = await answerOf(each, shared);
      report.add(each, given);
    }
    return report.close();
  } finally {
    await rig.stop();
  }
}

/** What the case tells; a failure is an answer, too. */
async function answerOf({ run }: NetworkCase, shared: SharedPods): Promise<string> {
  const scene = new Scene(shared);
  try {
    return await run(scene);
  } catch (error) {
    return `failed: ${reasonOf(error)}`;
  } finally {
    await scene.end();
  }
}
