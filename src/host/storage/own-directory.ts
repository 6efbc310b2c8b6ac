/**
 * Whose a directory is: a file in it names who has put things there first.
 *
 * Whoever has the name may remove what it finds there and knows nothing of. Must not make the directory.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

const OWNER_FILE = ".owner";
const OWNER_ONLY = 0o600;

/** Makes an owner of whoever asks first. @param owner one line, such as the path of a state directory */
export async function isOwnDirectory(directory: string, owner: string): Promise<boolean> {
  const file = join(directory, OWNER_FILE);
  await writeFile(file, `${owner}\n`, { flag: "wx", mode: OWNER_ONLY }).catch(unlessThere);
  return (await readFile(file, "utf8")) === `${owner}\n`;
}

function unlessThere(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
}
