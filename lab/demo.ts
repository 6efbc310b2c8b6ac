/**
 * `blazar demo`: the main job, for real, on a private containerd: from an image to a removed pod, with timings.
 *
 * Prints for people, or with `--json` one JSON object as the last line of stdout (everything else goes to stderr).
 * Exit code 0 only if every step did what it should and nothing is left on the host. Where there is no root, no
 * containerd or no right to mount, the standalone path is shown instead, and why.
 */
import { type BlazarError, blazarError, reasonOf } from "../src/contracts/errors.ts";
import { findMaterials, reasonAgainstContainerd } from "./demo/materials.ts";
import { showPod } from "./demo/pod-scene.ts";
import { Report } from "./demo/report.ts";
import { showStandalone } from "./demo/standalone-scene.ts";

/** The command line's options. */
export interface DemoOptions {
  /** One JSON object as the last line instead of text. */
  readonly json?: boolean;
}

const FAILED = 1;

/** Runs the demo; the returned number is the exit code. */
export async function demo(options: DemoOptions): Promise<number> {
  const json = options.json === true;
  const report = new Report(json ? process.stderr : process.stdout);
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort(cancelled());
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  try {
    const materials = await findMaterials();
    const reason = await reasonAgainstContainerd(materials);
    if (reason === undefined) await showPod(materials, report, interrupted.signal);
    else await showStandalone(reason, report, interrupted.signal);
  } catch (error) {
    report.fail(reasonOf(error));
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
  report.close();
  if (json) process.stdout.write(`${JSON.stringify(report.result())}\n`);
  return report.ok ? 0 : FAILED;
}

function cancelled(): BlazarError {
  return blazarError("Cancelled", "show the demo", "a signal has come");
}
