/**
 * Connects a starting daemon to its keeper, and starts one if none runs and the configuration says so.
 *
 * A keeper that runs and does not answer is stopped, or a debugger has it. It holds what pods need, so it is waited for, however
 * long that takes: nothing could be done without it, and a second one would have the containers end.
 */
import { join } from "node:path";
import { BlazarError } from "../contracts/errors.ts";
import type { Keeper } from "../contracts/keeper.ts";
import type { Logger } from "../contracts/logger.ts";
import { connectKeeper, type KeeperClientOptions } from "../host/keeper/client.ts";
import { keeperAnswers, keeperProcess, startKeeper } from "../host/keeper/process.ts";
import { processStat } from "../lib/processes/processes.ts";
import type { Config } from "./config/schema.ts";

/** @throws BlazarError KeeperLost, DependencyMissing, HostResource, ProtocolVersion */
export async function reachKeeper(
  config: Config,
  binary: string,
  task: string,
  logger: Logger,
): Promise<Keeper> {
  const control = config.keeper.socket ?? join(config.daemon.state_directory, "keeper.sock");
  const log = logger.child({ component: "keeper" });
  const start = async (): Promise<void> => {
    if (!(await keeperAnswers(control))) await startKeeper({ binary, control, task, log });
  };
  if (config.keeper.start) await start();
  const keeper = await connectPatiently({ control, log, ...(config.keeper.start ? { start } : {}) });
  // pods that run have their connections; new ones would have nobody to connect to
  if (!(await keeperAnswers(task)))
    log.error(
      { task, keeper: keeper.pid },
      "the keeper does not serve this task socket: no pod can be started",
    );
  return keeper;
}

/** As {@link connectKeeper}, for as long as the keeper's process runs. */
export async function connectPatiently(options: KeeperClientOptions): Promise<Keeper> {
  for (let told = false; ; told = true) {
    try {
      return await connectKeeper(options);
    } catch (err) {
      if (!(err instanceof BlazarError && err.code === "KeeperLost")) throw err;
      const pid = await keeperProcess(options.control);
      if (pid === undefined) throw err;
      const state = (await processStat(pid))?.state ?? "";
      const remedy = state.toUpperCase() === "T" ? `kill -CONT ${pid}` : "see what keeps it from answering";
      if (!told)
        options.log.error(
          { err, keeper: pid, state, remedy },
          "the keeper runs and does not answer: it is waited for, and its pods run on meanwhile",
        );
    }
  }
}
