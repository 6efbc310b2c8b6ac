/**
 * Journals that name something that nobody can read: they are kept under another name, for people to look at.
 */
import { lstat, rename } from "node:fs/promises";

/** What the name of a journal that was kept aside has after its own. */
export const ASIDE = ".unreadable";

/** Gives the file a name that no journal has, and that no file kept aside before has. Returns it. */
export async function keepAside(journal: string): Promise<string> {
  for (let number = 1; ; number++) {
    const name = `${journal}${ASIDE}${number === 1 ? "" : `-${number}`}`;
    if (await isThere(name)) continue;
    await rename(journal, name);
    return name;
  }
}

function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
