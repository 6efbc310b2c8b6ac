/** Puts a file in its place at once: whoever reads it sees the old one or the new one. */
import { mkdir, rename, writeFile } from "node:fs/promises";
import path from "node:path";

export async function replaceFile(file: string, contents: Uint8Array): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, contents);
  await rename(temporary, file);
}
