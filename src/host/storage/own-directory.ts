/**
 * Whose a directory is: a file in it names who has put things there first.
 *
 * Whoever has the name may remove what it finds there and knows nothing of. Must not make the directory.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

const OWNER_FILE = ".owner";
const OWNER_ONLY = 0o600;

/** Makes an owner of whoever asks first. False if it is somebody else's, or not there. @param owner one line */
export async function takeDirectory(directory: string, owner: string): Promise<boolean> {
  const file = join(directory, OWNER_FILE);
  await writeFile(file, `${owner}\n`, { flag: "wx", mode: OWNER_ONLY }).catch(unless("EEXIST", "ENOENT"));
  return (await ownerOf(directory)) === owner;
}

/** As {@link takeDirectory}, for who only looks: a directory without an owner is anybody's. */
export async function mayBeOwn(directory: string, owner: string): Promise<boolean> {
  return [owner, undefined].includes(await ownerOf(directory));
}

async function ownerOf(directory: string): Promise<string | undefined> {
  return (await readFile(join(directory, OWNER_FILE), "utf8").catch(unless("ENOENT")))?.trimEnd();
}

function unless(...codes: readonly string[]) {
  return (error: unknown): undefined => {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  };
}
