/**
 * `docs/configuration.md` from the configuration's schema, so that the page cannot fall behind.
 */
import { CONFIG_SCHEMA, type ConfigKey } from "./schema.ts";

const HEAD = `# Configuration

\`blazar serve --config FILE\` reads TOML. Every key has a default; without \`--config\` all of them hold. A key or
a table that is not on this page is refused, with the nearest known name. This page is generated from
\`src/daemon/config/schema.ts\` (\`npm run generate\`).
`;

/** The whole page. */
export function configurationPage(): string {
  const sections = Object.entries(CONFIG_SCHEMA).map(([name, keys]) => section(name, keys));
  return `${[HEAD, ...sections].join("\n")}`;
}

function section(name: string, keys: Readonly<Record<string, ConfigKey>>): string {
  const rows = Object.entries(keys).map(
    ([key, { type, fallback, doc }]) =>
      `| \`${key}\` | ${type} | ${fallback === undefined ? "" : `\`${JSON.stringify(fallback)}\``} | ${doc} |`,
  );
  return `## \`[${name}]\`\n\n| key | type | default | meaning |\n|---|---|---|---|\n${rows.join("\n")}\n`;
}
