/**
 * What somebody holds, by all journals: those that are open, and those in files that nobody has open.
 *
 * Read after the host was looked at: a resource is in a journal before it is made.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type HostResource, namesOf } from "../resources/kinds/kinds.ts";
import type { OpenJournals } from "../resources/open-journals.ts";
import { readJournal } from "../resources/read-journal.ts";

export class Claims {
  private readonly names = new Set<string>();
  private readonly paths: string[] = [];

  constructor(
    /** A journal that is in use has lines that nobody can read, so anything may be held. */
    readonly incomplete: boolean,
  ) {}

  add(resource: HostResource): void {
    for (const name of namesOf(resource)) {
      this.names.add(name);
      if (name.startsWith("path ")) this.paths.push(name);
    }
  }

  /** Whether somebody holds it, or something in it. */
  has(resource: HostResource): boolean {
    return namesOf(resource).some((name) => this.names.has(name) || this.hasBelow(name));
  }

  /** Whether there is a claim of this very name. */
  hasName(name: string): boolean {
    return this.names.has(name);
  }

  private hasBelow(name: string): boolean {
    return name.startsWith("path ") && this.paths.some((each) => each.startsWith(`${name}/`));
  }
}

const SUFFIX = ".jsonl";

/** Throws what the directory's listing says: nothing may be concluded then. */
export async function readClaims(directory: string, journals: OpenJournals): Promise<Claims> {
  const paths = (await readdir(directory))
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => join(directory, name));
  const closed: HostResource[] = [];
  for (const path of paths) {
    if (journals.has(path)) continue;
    // one that is gone was its sandbox's last
    const text = await readFile(path, "utf8").catch(unlessGone);
    if (text !== undefined) closed.push(...readJournal(text).outstanding.map(({ resource }) => resource));
  }
  // last, and at once: a journal that was opened meanwhile is among them
  const claims = new Claims(journals.incomplete);
  for (const resource of [...closed, ...journals.resources()]) claims.add(resource);
  return claims;
}

function unlessGone(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
