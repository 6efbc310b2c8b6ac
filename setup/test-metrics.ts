/**
 * `npm run test:metrics [-- VITEST ARGS]`: metrics, alert rules and traces against the real promtool and collector.
 *
 * The exit code is vitest's own.
 */
import { passThrough } from "./lib/command.ts";
import { command } from "./lib/entry.ts";
import { needRoot } from "./lib/own-namespaces.ts";
import { nodeBin, repoRoot } from "./lib/paths.ts";
import { prepareProduct } from "./lib/product.ts";
import { streamProgress } from "./lib/progress.ts";
import { collectorProgram } from "./tools/otelcol.ts";
import { promtoolProgram } from "./tools/promtool.ts";

const HELP = `usage: npm run test:metrics [-- VITEST ARGS]

Has promtool check every metric and the alert rules of deploy/prometheus, and run the rules' tests. Then starts a pod
through a private containerd that traces, with OpenTelemetry's collector, and looks for one trace from containerd's call to
a guest's step.

  --help  this text

Needs root. For the first run also a Debian mirror (promtool, unless it is in PATH) and a Go module proxy (the collector).
`;

await command(async () => {
  const args = process.argv.slice(2);
  if (args.includes("--help")) process.stdout.write(HELP);
  if (args.includes("--help")) return 0;
  needRoot("start pods through containerd");
  await prepareProduct();
  const progress = streamProgress();
  const [promtool, collector] = [await promtoolProgram(progress), await collectorProgram(progress)];
  const env = { ...process.env, BLAZAR_PROMTOOL: promtool, BLAZAR_OTELCOL: collector };
  const vitest = [nodeBin("vitest"), "run", "--project", "observability", ...args];
  return await passThrough(process.execPath, vitest, { cwd: repoRoot(), env });
});
