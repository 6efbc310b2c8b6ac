/**
 * A thousand sandboxes in one daemon, on the fake driver: whether memory and the time of a start stay what they are.
 */
import { BlazarError } from "../../src/contracts/errors.ts";
import type { Density } from "../output/results.ts";
import type { SuiteContext } from "./context.ts";

export async function runDensity(_context: SuiteContext): Promise<Density> {
  throw new BlazarError("Unimplemented", {
    operation: "measure density",
    reason: "there is no fake driver yet",
  });
}
