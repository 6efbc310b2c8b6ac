/**
 * What a starting daemon does about the one before, on a host in memory: as daemon/previous-daemon.ts does with files.
 */
import { releaseLostLeases } from "../../../src/actors/images/lost-leases.ts";
import { type HostResource, undoResource } from "../../../src/actors/resources/kinds/kinds.ts";
import { type LeftSandbox, readKnownSandbox } from "../../../src/actors/resources/known-sandbox.ts";
import { identityOf, inOrderOfUndo } from "../../../src/actors/resources/recovery.ts";
import { takeOver } from "../../../src/actors/sandbox/take-over.ts";
import type { Actors } from "../../../src/daemon/actors.ts";
import type { MemoryHost } from "./host.ts";
import type { MemoryJournal } from "./journal.ts";

/** Sandboxes that can be taken over are known when this returns; resolves when the rest is undone. */
export function recoverMemory(host: MemoryHost, actors: Actors): Promise<void> {
  const found: LeftSandbox[] = [];
  const leftover: MemoryJournal[] = [];
  for (const [id, before] of host.journals) {
    const journal = before.reopen(host.life);
    host.journals.set(id, journal);
    // as it would be read from a file
    const facts = new Map(Object.entries(JSON.parse(JSON.stringify(Object.fromEntries(journal.facts)))));
    const known = readKnownSandbox(facts);
    if (known === undefined || known.spec.id !== id) leftover.push(journal);
    else found.push({ known, journal, path: id, facts, history: [...journal.entries], unreadable: false });
  }
  const held = found.flatMap(({ journal }) => journal.outstanding().map(({ resource }) => resource));
  const refused = takeOver(actors, found, [...host.keeper.stdio.keys()], host.logger);
  if (refused.length > 0) throw new Error("a sandbox could not be taken over");
  const cleared = clear(host, leftover, held);
  actors.sandboxes.makeAfter(cleared);
  return cleared;
}

async function clear(
  host: MemoryHost,
  journals: readonly MemoryJournal[],
  held: readonly HostResource[],
): Promise<void> {
  const spared = new Set(held.map(identityOf));
  for (const journal of journals) {
    for (const resource of inOrderOfUndo(journal.outstanding()))
      if (!spared.has(identityOf(resource))) await undoInMemory(host, resource);
    await Promise.all(journal.outstanding().map(({ ref }) => journal.undone(ref)));
    await journal.close();
  }
  await releaseLostLeases([{ left: held, keptAside: undefined }], host.images, host.logger);
}

/** A fault of the host comes once. */
async function undoInMemory(host: MemoryHost, resource: HostResource): Promise<void> {
  try {
    await undoResource(resource, host.ports);
  } catch {
    await undoResource(resource, host.ports);
  }
}
