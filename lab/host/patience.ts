/**
 * How much longer than usual things may take: once as long, or `BLAZAR_TEST_PATIENCE` times.
 *
 * `npm run test:kvm` sets it, because in an emulated host everything is many times slower. Deadlines of the lab, of tests and of
 * the daemons that they start go through here. What a test claims about the product's speed does not.
 */
import { DEADLINES, type DeadlineName } from "../../src/contracts/deadlines.ts";
import { blazarError } from "../../src/contracts/errors.ts";
import { LONGEST_MS } from "../../src/daemon/config/values.ts";

const VARIABLE = "BLAZAR_TEST_PATIENCE";
const MOST = 100;

/** How many times as long. */
const PATIENCE = readPatience(process.env[VARIABLE]);

export function readPatience(text = "1"): number {
  const times = Number(text);
  if (times >= 1 && times <= MOST) return times;
  const reason = `"${text}" is not a number from 1 to ${MOST}`;
  throw blazarError("InvalidArgument", "read how patient to be", reason, { subject: VARIABLE });
}

/** A deadline. */
export function patient(ms: number): number {
  return ms * PATIENCE;
}

/** The daemon's own deadlines, as its configuration has them; none where the defaults do. */
export function patientDeadlines(times = PATIENCE): Partial<Record<DeadlineName, number>> {
  if (times === 1) return {};
  const names = Object.keys(DEADLINES) as DeadlineName[];
  return Object.fromEntries(
    names.map((name) => [name, Math.min(Math.round(DEADLINES[name].ms * times), LONGEST_MS)]),
  );
}
