/**
 * What a starting daemon does about a previous one: takes over what runs, and undoes the rest.
 *
 * What runs is known at once. The rest takes its time, and nothing new is made before it is gone: its names, users and leases
 * could be those of something new.
 */
import { tmpdir } from "node:os";
import { releaseLostLeases } from "../actors/images/lost-leases.ts";
import { endLostMakers } from "../actors/reconcile/lost-makers.ts";
import { findSandboxes, undoLeftovers } from "../actors/resources/recovery.ts";
import { takeOver } from "../actors/sandbox/take-over.ts";
import type { Logger } from "../contracts/logger.ts";
import { processStat } from "../lib/processes.ts";
import type { Core } from "./core.ts";

/** Resolves when every sandbox that can be taken over is known; `cleared` does when nothing else is left, with the journals that could not be undone whole. It never rejects. */
export async function succeedPreviousDaemon(
  journals: string,
  core: Core,
  logger: Logger,
): Promise<{ readonly cleared: Promise<readonly string[]> }> {
  const { adoptable, unread, leftover } = await findSandboxes(journals, logger);
  await Promise.all(
    adoptable.map(({ path, journal }) => core.journals.track(path, Promise.resolve(journal))),
  );
  const held = new Map(
    adoptable.map((left) => [left, left.journal.outstanding().map(({ resource }) => resource)]),
  );
  const refused = takeOver(core, adoptable, logger);
  const taken = adoptable.filter((left) => !refused.includes(left));
  const sandboxes = taken.map(({ known }) => known.spec.id);
  if (taken.length > 0) logger.info({ sandboxes }, "took over the sandboxes of a previous daemon");
  const clear = async (): Promise<readonly string[]> => {
    const { startTime = 0 } = (await processStat(process.pid)) ?? {};
    const makers = endLostMakers(core.resourcePorts, { startTime, temporary: tmpdir() }, logger);
    await Promise.all(refused.map(({ journal }) => journal.close()));
    const rest = [...leftover, ...refused.map(({ path }) => path)];
    const spared = taken.flatMap((left) => held.get(left) ?? []);
    const undone = await undoLeftovers(rest, core.resourcePorts, logger, spared);
    const kept = taken.map((left) => ({
      left: held.get(left) ?? [],
      keptAside: left.unreadable ? left.path : undefined,
    }));
    const unknown = unread.map((path) => ({ left: [], keptAside: path }));
    await makers;
    await releaseLostLeases([...undone, ...kept, ...unknown], core.images, logger);
    return undone.flatMap(({ journal, failed }) => (failed.length > 0 ? [journal] : []));
  };
  const cleared = clear().catch((err: unknown): readonly string[] => {
    logger.error({ err }, "could not clean up after a previous daemon; the next start tries again");
    return [];
  });
  core.sandboxes.makeAfter(cleared.then(() => undefined));
  return { cleared };
}
