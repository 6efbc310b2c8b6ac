/**
 * Writes `docs/configuration.md` from the configuration's schema, so that the page is never out of date.
 */
import { CONFIG_SCHEMA } from "./schema.ts";
import type { ConfigKey } from "./values.ts";

const HEAD = `# Configuration

\`blazar serve --config FILE\` reads TOML. Every key has a default; without \`--config\` all defaults
hold, or an installed package's \`/etc/blazar/blazar.toml\`. A key or a table that is not on this page is refused, and the error names the nearest known one. Sizes are written as
\`"256M"\` or as a number of bytes. This page is generated from \`src/daemon/config/schema.ts\` (\`npm run generate\`).
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
