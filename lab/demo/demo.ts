/**
 * The demo: a pod on a private containerd, from its image to its removal, with timings (`npm run demo`).
 *
 * It prints text for people, or with `json` one JSON object on stdout, and then everything else on stderr. It
 * succeeds only if every step did what it should and nothing is left on the host. Without root, containerd or the
 * right to mount it shows `blazar run` instead, and says why.
 */
import { artifacts } from "../../setup/steps/artifacts.ts";
import { reasonOf } from "../../src/contracts/errors.ts";
import { reasonAgainstContainerd } from "../host/containerd-check.ts";
import { interruptible } from "../host/interruption.ts";
import { showPod } from "./pod-scene.ts";
import { Report } from "./report.ts";
import { showStandalone } from "./standalone-scene.ts";

export interface DemoOptions {
  /** The bundled product, `dist/blazar.mjs`. */
  readonly program: string;
  /** One JSON object instead of text. */
  readonly json: boolean;
  /** Leaves the pod running and serves the state-chart page, until Ctrl-C. */
  readonly ui?: boolean;
}

const FAILED = 1;

/** Runs the demo; the returned number is the exit code. */
export async function demo(options: DemoOptions): Promise<number> {
  const { json, program } = options;
  const report = new Report(json ? process.stderr : process.stdout);
  try {
    const built = artifacts();
    const reason = await reasonAgainstContainerd(built);
    await interruptible("show the demo", (signal) =>
      reason === undefined
        ? showPod({ built, program, ui: options.ui === true }, report, signal)
        : showStandalone(reason, program, report, signal),
    );
  } catch (error) {
    report.fail(reasonOf(error));
  }
  report.close();
  if (json) process.stdout.write(`${JSON.stringify(report.result())}\n`);
  return report.ok ? 0 : FAILED;
}
