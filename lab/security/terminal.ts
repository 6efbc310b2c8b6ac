/** What a terminal would obey, looked for in all that the node says. */

const OBEYED = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
/** They end a line, or are a tab. */
const LAYOUT = /[\n\t]/g;

/** The first control character of a text, or of the texts in plain data, keys included; undefined = there is none. */
export function controlCharacterIn(value: unknown): string | undefined {
  if (typeof value === "string") return controlCharacterOf(value);
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return undefined;
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  for (const part of entries.flat()) {
    const found = controlCharacterIn(part);
    if (found !== undefined) return found;
  }
  return undefined;
}

function controlCharacterOf(text: string): string | undefined {
  const [found] = OBEYED.exec(text.replaceAll(LAYOUT, "")) ?? [];
  if (found === undefined) return undefined;
  const at = text.indexOf(found);
  return JSON.stringify(text.slice(Math.max(0, at - 60), at + 60));
}
