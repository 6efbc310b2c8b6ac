/**
 * `blazar install`: puts Blazar into containerd's configuration; with `--check` it says what the node lacks, and changes nothing.
 */
import { screenOf } from "../console/screen.ts";
import { outputFormat, structured } from "../console/structured.ts";
import { loadConfig } from "../daemon/config/load.ts";
import { NODE_HOST } from "../standalone/doctor/node-host.ts";
import { findingsText } from "../standalone/doctor/report.ts";
import { installDropIn } from "../standalone/install/install.ts";
import { CONTAINERD_CONFIG, lacking } from "./examine.ts";

export interface InstallOptions {
  readonly check?: boolean;
  readonly config?: string;
  readonly containerdConfig?: string;
  readonly output?: string;
}

/** Exit code if the node lacks something. */
const LACKING = 1;

/** Returns the exit code. */
export async function install(options: InstallOptions): Promise<number> {
  if (options.check === true) return await check(options);
  const main = options.containerdConfig ?? CONTAINERD_CONFIG;
  const { file, changed, left } = await installDropIn(NODE_HOST, await loadConfig(options.config), main);
  process.stdout.write(changed ? `wrote ${file}\n` : `${file} is as it should be\n`);
  if (left.length > 0)
    process.stdout.write(
      `Left to do, for containerd to know it:\n${left.map((line) => `  ${line}\n`).join("")}`,
    );
  return 0;
}

async function check(options: InstallOptions): Promise<number> {
  const format = outputFormat(options.output, ["table", "json", "yaml"], "table");
  const findings = await lacking(options);
  const table = () => findingsText(findings, screenOf(process, Date.now()));
  process.stdout.write(format === "table" ? table() : structured({ findings }, format));
  return findings.some(({ verdict }) => verdict === "fault") ? LACKING : 0;
}
