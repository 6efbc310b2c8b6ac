/**
 * The arguments of `npm run test:model`: how many histories to try.
 */
import { blazarError } from "../../src/contracts/errors.ts";

/** The variable that the model test reads the number from (test/model). */
export const MODEL_RUNS_VARIABLE = "BLAZAR_MODEL_RUNS";

const POSITIVE_INTEGER = /^[1-9]\d*$/;

/** Reads `--runs N` or `--runs=N`; undefined without arguments. Throws InvalidArgument for anything else. */
export function readModelRuns(args: readonly string[]): number | undefined {
  if (args.length === 0) return undefined;
  const [name, ...values] = args.flatMap((arg) => arg.split("="));
  const [value = ""] = values;
  if (name !== "--runs" || values.length > 1) throw wrong(args.join(" "), "only --runs N is understood");
  if (!POSITIVE_INTEGER.test(value) || !Number.isSafeInteger(Number(value)))
    throw wrong(`--runs ${value}`, "the number of histories must be a positive integer");
  return Number(value);
}

function wrong(subject: string, reason: string) {
  const remedy = "for example: npm run test:model -- --runs 10000";
  return blazarError("InvalidArgument", "read the arguments of test:model", reason, { subject, remedy });
}
