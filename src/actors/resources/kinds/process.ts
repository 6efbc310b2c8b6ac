/**
 * A process that the keeper has started: a VMM or a file server.
 *
 * The keeper knows it by its id. A keeper that has died leaves its children to init: then only pid and start time
 * together name the process.
 */
import { within } from "../../../lib/async.ts";
import { KEEPER_PATIENCE_MS, killProcess } from "../../../lib/processes/kill-process.ts";
import { isAlive } from "../../../lib/processes/processes.ts";
import { SIGKILL } from "../../../lib/signals.ts";
import { integer, object, oneOf, optional, string } from "../../../protocol/wire/json.ts";
import type { ResourceKind, ResourcePorts } from "./kind.ts";

/** A process in state D stays until its device or file system answers; then the next undo finds it gone. */
const KILL_MS = 2_000;

export interface ProcessResource {
  readonly kind: "process";
  /** The keeper's name for it. */
  readonly id: string;
  /** Pid and start time are known only after the spawn. */
  readonly pid?: number | undefined;
  readonly startTime?: number | undefined;
}

export const process: ResourceKind<ProcessResource> = {
  describe: ({ id, pid }) => `process ${id}${pid === undefined ? "" : ` (pid ${pid})`}`,
  names: ({ id, pid, startTime }) => [`process ${id}`, `pid ${pid} ${startTime}`],
  outlivesBoot: false,
  check: object({
    kind: oneOf("process"),
    id: string,
    pid: optional(integer(1)),
    startTime: optional(integer()),
  }),
  observe: async (resource, { keeper }) => {
    if (known(resource, keeper) !== undefined) return "present";
    return (await survivor(resource)) === undefined ? "absent" : "present";
  },
  undo: async (resource, { keeper }) => {
    const { id } = resource;
    const child = known(resource, keeper);
    if (child === undefined) {
      const pid = await survivor(resource);
      if (pid !== undefined) globalThis.process.kill(pid, SIGKILL);
      return;
    }
    if (child.exit === undefined) {
      const route = { signal: () => keeper.signal(id, SIGKILL), ended: () => keeper.exited(id) };
      await killProcess(id, child.identity, route, KILL_MS);
    }
    // a keeper that does not answer forgets it as soon as it has told the exit
    const forgotten = keeper
      .exited(id)
      .then(() => keeper.forget(id))
      .catch(() => undefined);
    await within(forgotten, KEEPER_PATIENCE_MS);
  },
};

function known({ id }: ProcessResource, keeper: ResourcePorts["keeper"]) {
  return keeper.inventory().processes.find((each) => each.id === id);
}

/** The pid of a process that has outlived its keeper. */
async function survivor({ pid, startTime }: ProcessResource): Promise<number | undefined> {
  if (pid === undefined || startTime === undefined) return undefined;
  return (await isAlive({ pid, startTime })) ? pid : undefined;
}
