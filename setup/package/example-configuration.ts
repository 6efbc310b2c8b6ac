/**
 * An example of the whole configuration: every key with its meaning, and its default, commented out.
 */
import { CONFIG_SCHEMA } from "../../src/daemon/config/schema.ts";
import type { ConfigKey } from "../../src/daemon/config/values.ts";

const WIDTH = 98;

export function exampleConfiguration(): string {
  const sections = Object.entries(CONFIG_SCHEMA).map(([name, keys]) => section(name, keys));
  const head =
    "# Every key of blazar.toml(5) with its default. Copy what is to differ into /etc/blazar/blazar.toml.\n";
  return [head, ...sections].join("\n");
}

function section(name: string, keys: Readonly<Record<string, ConfigKey>>): string {
  const lines = Object.entries(keys).flatMap(([key, { doc, fallback }]) => [
    ...wrapped(doc).map((line) => `# ${line}`),
    fallback === undefined ? `#${key} =` : `#${key} = ${JSON.stringify(fallback)}`,
    "",
  ]);
  return [`[${name}]`, ...lines].join("\n");
}

/** Lines of words. */
function wrapped(text: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + word.length + 1 > WIDTH) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
