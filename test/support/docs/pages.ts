/**
 * The generated pages and parts of pages in docs/: `npm run generate` writes them, a unit test compares them.
 */
import { configurationPage } from "../../../src/daemon/config/document.ts";
import { containerMachine } from "../../../src/machines/container.machine.ts";
import { poolMachine } from "../../../src/machines/pool.machine.ts";
import { processMachine } from "../../../src/machines/process.machine.ts";
import { sandboxMachine } from "../../../src/machines/sandbox.machine.ts";
import { mermaid, table } from "./chart.ts";

/** File below the repository → its content. */
export function generatedPages(): Record<string, string> {
  return { "docs/configuration.md": configurationPage(), "docs/charts.md": chartsPage() };
}

function chartsPage(): string {
  const charts = [
    ["Sandbox", "src/machines/sandbox.machine.ts", sandboxMachine],
    ["Container", "src/machines/container.machine.ts", containerMachine],
    ["Process", "src/machines/process.machine.ts", processMachine],
    ["Pool", "src/machines/pool.machine.ts", poolMachine],
  ] as const;
  const head = `# State charts

Generated from the machines (\`npm run generate\`). *Effect* is what a state waits for, *takes* the events that it
acts upon beside its parents', *deadline* the name under which its wait ends (\`[deadlines]\` in
[configuration.md](configuration.md)).
`;
  const parts = charts.map(
    ([name, file, machine]) => `## ${name}\n\n\`${file}\`\n\n${mermaid(machine)}\n\n${table(machine)}\n`,
  );
  return `${[head, ...parts].join("\n")}`;
}
