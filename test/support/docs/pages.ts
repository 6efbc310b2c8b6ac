/**
 * The generated files of docs/: `npm run generate` writes them, a unit test compares them.
 *
 * A page or picture is made from code or from a text source, and from nothing else. A new chart goes into CHARTS.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { AnyStateMachine } from "xstate";
import { repoRoot } from "../../../setup/lib/paths.ts";
import { configurationPage } from "../../../src/daemon/config/document.ts";
import { containerMachine } from "../../../src/machines/container.machine.ts";
import { poolMachine } from "../../../src/machines/pool.machine.ts";
import { processMachine } from "../../../src/machines/process.machine.ts";
import { sandboxMachine } from "../../../src/machines/sandbox.machine.ts";
import { vmBootMachine } from "../../../src/machines/vm-boot.machine.ts";
import { METRIC_TABLE } from "../../../src/observe/metrics/table.ts";
import { diagram, table } from "./chart.ts";
import { cliPage } from "./cli-page.ts";
import { type Picture, pictureSvg } from "./picture.ts";

interface Chart {
  readonly name: string;
  /** Below src/machines/. */
  readonly file: string;
  readonly machine: AnyStateMachine;
}

/** Every `*.machine.ts` of src/machines/, in the order of the page; a test holds them against the folder. */
export const CHARTS: readonly Chart[] = [
  { name: "Sandbox", file: "sandbox.machine.ts", machine: sandboxMachine },
  { name: "Start of a VM", file: "vm-boot.machine.ts", machine: vmBootMachine },
  { name: "Container", file: "container.machine.ts", machine: containerMachine },
  { name: "Process", file: "process.machine.ts", machine: processMachine },
  { name: "Pool", file: "pool.machine.ts", machine: poolMachine },
];

const PICTURES = "docs/pictures";

/** Pictures with a source `<name>.json` beside them; a test holds them against the folder. */
export const PICTURE_NAMES: readonly string[] = ["processes"];

/** File below the repository → its content. */
export function generatedPages(): Record<string, string> {
  const pictures = PICTURE_NAMES.map((name) => [`${PICTURES}/${name}.svg`, picture(name)]);
  return {
    "docs/configuration.md": configurationPage(),
    "docs/charts.md": chartsPage(),
    "docs/cli.md": cliPage(),
    "docs/observability.md": observabilityPage(),
    ...Object.fromEntries(pictures),
  };
}

/** People write the page; the table of metrics in it comes from the code. */
function observabilityPage(): string {
  const text = readFileSync(join(repoRoot(), "docs", "observability.md"), "utf8");
  const rows = Object.entries(METRIC_TABLE).map(
    ([name, { type, labels, help }]) =>
      `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${help} |`,
  );
  const [begin, end] = ["<!-- metrics: begin -->\n", "<!-- metrics: end -->"];
  const [before = "", rest = ""] = text.split(begin);
  const [, after = ""] = rest.split(end);
  const table = ["| name | type | labels | meaning |", "|---|---|---|---|", ...rows].join("\n");
  return `${before}${begin}${table}\n${end}${after}`;
}

function chartsPage(): string {
  const head = `# State charts

Generated from the machines (\`npm run generate\`). *Effect* is what a state waits for. *Takes* lists the events that
a state acts upon, beside the events of its parents. *Deadline* is the name under which its wait ends
(\`[deadlines]\` in [configuration.md](configuration.md)).
`;
  const parts = CHARTS.map(
    ({ name, file, machine }) =>
      `## ${name}\n\n\`src/machines/${file}\`\n\n${diagram(machine)}\n\n${table(machine)}\n`,
  );
  return `${[head, ...parts].join("\n")}`;
}

function picture(name: string): string {
  const source = readFileSync(join(repoRoot(), PICTURES, `${name}.json`), "utf8");
  return pictureSvg(JSON.parse(source) as Picture);
}
