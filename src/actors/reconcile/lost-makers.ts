/**
 * What makes templates and images, or tries out KVM, for a daemon: processes of the keeper's that no journal names.
 *
 * They are of no use to anybody once their daemon is dead. The next one ends them at its start, with what they have in the
 * directory for temporary files.
 */
import { join } from "node:path";
import type { Logger } from "../../contracts/logger.ts";
import type { ResourcePorts } from "../resources/kinds/kind.ts";
import { undoResource } from "../resources/kinds/kinds.ts";

/** Their ids at the keeper. */
const MAKER = /^(?:blazar-(?:template|probe)-[A-Za-z0-9]{6}|image-[0-9a-f]{12})$/;
/** Those of VMs, whose id is the name of their directory. */
const HAS_DIRECTORY = /^blazar-/;

export function isMaker(id: string): boolean {
  return MAKER.test(id);
}

/**
 * Ends those of dead daemons. Never rejects: the reconciler finds what is left.
 * @param startTime of this daemon: field 22 of its /proc/PID/stat
 * @param temporary the directory for temporary files
 */
export async function endLostMakers(
  ports: ResourcePorts,
  { startTime, temporary }: { readonly startTime: number; readonly temporary: string },
  logger: Logger,
): Promise<void> {
  const lost = ports.keeper
    .inventory()
    .processes.filter(({ id, identity }) => isMaker(id) && identity.startTime < startTime);
  await Promise.all(
    lost.map(async ({ id, identity }) => {
      try {
        await undoResource({ kind: "process", id, ...identity }, ports);
        if (HAS_DIRECTORY.test(id)) await ports.files.removeTree(join(temporary, id));
        logger.info({ process: id }, "ended what a previous daemon was making");
      } catch (err) {
        logger.warn({ err, process: id }, "could not end what a previous daemon was making");
      }
    }),
  );
}
