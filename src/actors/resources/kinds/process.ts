/**
 * A process that the keeper has started: a VMM or a file server.
 *
 * The keeper knows it by its id. A keeper that has died leaves its children to init: then only pid and start time
 * together name the process.
 */
import { BlazarError } from "../../../contracts/errors.ts";
import { isAlive } from "../../../lib/processes.ts";
import { SIGKILL } from "../../../lib/signals.ts";
import { integer, object, oneOf, optional, string } from "../../../protocol/wire/json.ts";
import type { ResourceKind, ResourcePorts } from "./kind.ts";

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
    if (child.exit === undefined) await keeper.signal(id, SIGKILL).catch(unlessEnded);
    await keeper.exited(id);
    await keeper.forget(id);
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

function unlessEnded(error: unknown): void {
  if (error instanceof BlazarError && ["ProcessNotFound", "ProcessNotRunning"].includes(error.code)) return;
  throw error;
}
