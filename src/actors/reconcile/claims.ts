/**
 * What somebody holds, by all journals: those that are open, and those in files that nobody has open.
 *
 * Read after the host was looked at: a resource is in a journal before it is made.
 */

import { idOf, journalsIn, readMended } from "../resources/journal/mended-journal.ts";
import type { OpenJournals } from "../resources/journal/open-journals.ts";
import { readJournal } from "../resources/journal/read-journal.ts";
import { type HostResource, namesOf } from "../resources/kinds/kinds.ts";

export class Claims {
  private readonly names = new Set<string>();
  private readonly paths: string[] = [];

  constructor(
    /** Something may run that the journals do not name, so anything may be held. */
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

/**
 * Throws what the directory's listing says, and what a journal does that cannot be read: nothing may be concluded then.
 * @param adoptable whether journals that nobody has open may be of pods that a daemon will take over
 * @param uncertain whether a pod may run that no journal names
 */
export async function readClaims(
  directory: string,
  journals: OpenJournals,
  adoptable: boolean,
  uncertain = false,
): Promise<Claims> {
  const closed: HostResource[] = [];
  let incomplete = false;
  for (const path of await journalsIn(directory)) {
    if (journals.has(path)) continue;
    // one that is gone was its sandbox's last
    const read = await readMended(path).catch(unlessGone);
    if (read === undefined) continue;
    const { outstanding, unreadable, sandboxId } = readJournal(read.text);
    closed.push(...outstanding.map(({ resource }) => resource));
    incomplete ||= adoptable && (unreadable.length > 0 || sandboxId !== idOf(path));
  }
  // last, and at once: a journal that was opened meanwhile is among them
  const claims = new Claims(incomplete || uncertain || journals.incomplete);
  for (const resource of [...closed, ...journals.resources()]) claims.add(resource);
  return claims;
}

function unlessGone(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
