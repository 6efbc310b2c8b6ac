/**
 * `blazar doctor`: checks the node, and says what to do. It changes nothing, unless `--fix` has what nobody holds removed.
 */
import { screenOf } from "../console/screen.ts";
import { outputFormat, structured } from "../console/structured.ts";
import { findingsText } from "../standalone/doctor/report.ts";
import { type ExamineOptions, examine } from "./examine.ts";

export interface DoctorOptions extends ExamineOptions {
  readonly output?: string;
}

/** Exit code if there are faults. */
const FAULTS = 1;

/** Returns the exit code: 0 only if there is no fault. */
export async function doctor(options: DoctorOptions): Promise<number> {
  const format = outputFormat(options.output, ["table", "json", "yaml"], "table");
  const findings = await examine(options);
  const table = () => findingsText(findings, screenOf(process, Date.now()));
  process.stdout.write(format === "table" ? table() : structured({ findings }, format));
  return findings.some(({ verdict }) => verdict === "fault") ? FAULTS : 0;
}
