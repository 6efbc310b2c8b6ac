/** Files for the page: dropped as a browser drops them, and archives. */
import type { Page } from "playwright-core";

export interface DroppedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Drops files onto the middle of the page. */
export async function dropFiles(page: Page, files: readonly DroppedFile[]): Promise<void> {
  const texts = files.map(({ name, bytes }) => ({ name, base64: Buffer.from(bytes).toString("base64") }));
  // as text: the browser's own types are not those of Node
  const dataTransfer = await page.evaluateHandle(`(() => {
    const data = new DataTransfer();
    for (const { name, base64 } of ${JSON.stringify(texts)})
      data.items.add(new File([Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))], name));
    return data;
  })()`);
  await page.dispatchEvent("#main", "dragover", { dataTransfer });
  await page.locator(".drop").waitFor();
  await page.dispatchEvent("#main", "drop", { dataTransfer });
}

const BLOCK = 512;

/** An archive of texts by name. */
export function tarOf(files: Readonly<Record<string, string>>): Uint8Array {
  const pieces = Object.entries(files).flatMap(([name, text]) => {
    const bytes = Buffer.from(text);
    const header = Buffer.alloc(BLOCK);
    header.write(name, 0);
    header.write(`${bytes.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("0", 156);
    header.write("ustar\u000000", 257);
    return [header, bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)];
  });
  return Buffer.concat([...pieces, Buffer.alloc(2 * BLOCK)]);
}
