/**
 * docs/performance.md: the measured part, made from results files, between two markers.
 *
 * What stands outside of the markers is written by people, and must stay as it is: what the figures mean, and where the
 * time goes. What was tried is on a page of its own, docs/performance-notes.md, which nothing generates.
 */
import { figuresOf } from "./figures.ts";
import {
  PUBLISHED_ELSEWHERE,
  PUBLISHED_LABEL,
  PUBLISHED_MEMORY,
  PUBLISHED_PARALLEL,
  PUBLISHED_SERIAL,
  type Published,
} from "./published.ts";
import { type Results, resultsName } from "./results.ts";
import { asMarkdown, tablesOf } from "./tables.ts";

const BEGIN = "<!-- measured: begin (npm run bench -- report writes this part) -->";
const END = "<!-- measured: end -->";
const FRESH = `# Performance

How fast pods start, and what managing them costs: blazar against the plain runc handler of the same containerd, in one
run on one machine. \`npm run bench -- all\` measures. \`npm run bench -- report\` writes the part between the marks below.
[bench/README.md](../bench/README.md) says what a figure is.

`;

/** The page with its measured part replaced, or a fresh page if there was none. */
export function withMeasuredPart(page: string, part: string): string {
  const measured = `${BEGIN}\n${part}\n${END}`;
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) return `${page === "" ? FRESH : `${page.trimEnd()}\n\n`}${measured}\n`;
  return page.slice(0, from) + measured + page.slice(to + END.length);
}

/** One section for each run, then what others have published. */
export function measuredPart(runs: readonly Results[]): string {
  return [...runs.map(runSection), publishedSection()].join("\n");
}

/** Tables, figures and the machine, in Markdown. */
function runSection(results: Results): string {
  const { machine, versions, seed, seconds, command, quick } = results;
  const figures = figuresOf(results).map(({ name, title }) => `![${title}](figures/${name}.svg)\n`);
  return [
    "",
    `## Measured: ${command}`,
    "",
    `From \`bench/results/${resultsName(results)}.json\`: \`${command}\`${quick ? " (quick)" : ""}, seed ${seed}, ${seconds} s.`,
    "",
    `- Machine: ${machine.cores} × ${machine.cpu}, ${Math.round(machine.memoryMb / 1024)} GiB, Linux ${machine.kernel}; VMs by ${machine.acceleration === "" ? "nothing: none ran" : machine.acceleration}`,
    `- Versions: ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}`,
    "",
    ...figures,
    ...tablesOf(results).map(asMarkdown),
  ].join("\n");
}

function publishedSection(): string {
  const lines = (what: string, unit: string, figures: readonly Published[]) =>
    figures.map(({ system, value, note }) => `- ${system}, ${what}: ${value} ${unit} (${note})`);
  return [
    `## For orientation: ${PUBLISHED_LABEL}`,
    "",
    "Others measured these on other machines, mostly with KVM. No ratio above is made with them.",
    "",
    ...lines("in series, p50", "ms", PUBLISHED_SERIAL),
    ...lines("50 pods at once", "ms", PUBLISHED_PARALLEL),
    ...lines("at 50 pods", "MiB", PUBLISHED_MEMORY),
    ...PUBLISHED_ELSEWHERE.map((line) => `- ${line}`),
    "",
  ].join("\n");
}
