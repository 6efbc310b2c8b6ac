/**
 * Whose a directory is: a file in it names who has put things there first.
 *
 * Whoever has the name may remove what it finds there and knows nothing of. Must not make the directory.
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { blazarError } from "../../contracts/errors.ts";

const OWNER_FILE = ".owner";
const OWNER_ONLY = 0o600;

/**
 * Makes an owner of whoever asks first. What is in the directory by then must not become his, so nobody becomes the owner while
 * there is something that looks like his.
 * @param owner one line
 * @param looksOwn of a name in the directory
 */
export async function takeDirectory(
  directory: string,
  owner: string,
  looksOwn: (name: string) => boolean,
): Promise<void> {
  const names = (await readdir(directory).catch(unless("ENOENT"))) ?? [];
  if (names.includes(OWNER_FILE) || names.some(looksOwn)) return;
  const file = join(directory, OWNER_FILE);
  await writeFile(file, `${owner}\n`, { flag: "wx", mode: OWNER_ONLY }).catch(unless("EEXIST", "ENOENT"));
}

/**
 * The directory, if it is the owner's; undefined if it is another one's, or not there. Throws HostResource if nobody can be its
 * owner, because of what was in it before.
 */
export async function ownDirectory(directory: string, owner: string): Promise<string | undefined> {
  const found = await ownerOf(directory);
  if (found === undefined && (await readdir(directory).catch(unless("ENOENT"))) !== undefined)
    throw blazarError("HostResource", "tell whose disks they are", "some were there before any blazard", {
      subject: directory,
      remedy: "move them elsewhere, and restart blazard",
    });
  return found === owner ? directory : undefined;
}

/** Undefined: nobody's, or not there. */
async function ownerOf(directory: string): Promise<string | undefined> {
  return (await readFile(join(directory, OWNER_FILE), "utf8").catch(unless("ENOENT")))?.trimEnd();
}

function unless(...codes: readonly string[]) {
  return (error: unknown): undefined => {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  };
}
