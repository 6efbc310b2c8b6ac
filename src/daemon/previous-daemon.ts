/**
 * What a starting daemon does about a previous one: takes over what runs, and undoes the rest.
 *
 * What runs is known at once. The rest takes its time, and nothing new is made before it is gone: its names, users and leases
 * could be those of something new. If the keeper has died as well, the present one gets the processes that still run.
 */
import { tmpdir } from "node:os";
import { releaseLostLeases } from "../actors/images/lost-leases.ts";
import { endLostMakers } from "../actors/reconcile/lost-makers.ts";
import { findSandboxes } from "../actors/resources/found-journals.ts";
import type { LeftSandbox } from "../actors/resources/known-sandbox.ts";
import { undoLeftovers } from "../actors/resources/recovery.ts";
import { takeOver } from "../actors/sandbox/take-over.ts";
import { BlazarError } from "../contracts/errors.ts";
import type { Keeper } from "../contracts/keeper.ts";
import type { Logger } from "../contracts/logger.ts";
import { processStat } from "../lib/processes/processes.ts";
import type { Core } from "./core.ts";

/**
 * Resolves when every sandbox that can be taken over is known, with how many that are; `cleared` does when nothing else is left,
 * with the journals that could not be undone whole. It never rejects.
 * @throws BlazarError ProtocolVersion if pods of a later daemon run
 */
export async function succeedPreviousDaemon(
  journals: string,
  core: Core,
  keeper: Pick<Keeper, "inventory" | "adopt">,
  logger: Logger,
): Promise<{ readonly taken: number; readonly cleared: Promise<readonly string[]> }> {
  const { adoptable, unread, stranded, leftover } = await findSandboxes(journals, keeper, logger);
  core.stranded.add(stranded, "its journal is damaged, and so is its copy");
  core.stranded.add(unread, "its journal cannot be read now; the next start tries it again");
  await Promise.all(
    adoptable.map(({ path, journal }) => core.journals.track(path, Promise.resolve(journal))),
  );
  const held = new Map(
    adoptable.map((left) => [left, left.journal.outstanding().map(({ resource }) => resource)]),
  );
  await handOver(adoptable, keeper, logger);
  const refused = takeOver(core, adoptable, keeper.inventory().stdio, logger);
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
    const unknown = [...unread, ...stranded].map((path) => ({ left: [], keptAside: path }));
    await makers;
    await releaseLostLeases([...undone, ...kept, ...unknown], core.images, logger);
    return undone.flatMap(({ journal, failed }) => (failed.length > 0 ? [journal] : []));
  };
  const cleared = clear().catch((err: unknown): readonly string[] => {
    logger.error({ err }, "could not clean up after a previous daemon; the next start tries again");
    return [];
  });
  core.sandboxes.makeAfter(cleared.then(() => undefined));
  return { taken: taken.length, cleared };
}

/** Processes of sandboxes that are taken over, by pid and start time, unless the keeper has them. Those that have ended are not found. */
async function handOver(
  adoptable: readonly LeftSandbox[],
  keeper: Pick<Keeper, "inventory" | "adopt">,
  logger: Logger,
): Promise<void> {
  const had = new Set(keeper.inventory().processes.map(({ id }) => id));
  const all = adoptable.flatMap(({ journal }) => journal.outstanding().map(({ resource }) => resource));
  const adopted = await Promise.all(
    all.map(async (resource) => {
      if (resource.kind !== "process" || had.has(resource.id)) return [];
      const { id, pid, startTime } = resource;
      if (pid === undefined || startTime === undefined) return [];
      try {
        await keeper.adopt(id, { pid, startTime });
        return [id];
      } catch (err) {
        if (!(err instanceof BlazarError && err.code === "ProcessNotFound"))
          logger.warn(
            { err, process: id },
            "a process of a dead keeper could not be handed over to this one",
          );
        return [];
      }
    }),
  );
  const processes = adopted.flat();
  if (processes.length > 0)
    logger.warn({ processes }, "the keeper has adopted the processes of one that has died");
}
