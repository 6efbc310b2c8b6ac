/**
 * The networks of pods with hostNetwork: the host's own by pasta, if that is configured and can be had.
 *
 * It takes a keeper that is root, users for the helpers, and VMs with a network interface.
 */
import { join } from "node:path";
import type { VmUsers } from "../actors/vm/users.ts";
import type { Keeper } from "../contracts/keeper.ts";
import type { Logger } from "../contracts/logger.ts";
import type { Cgroups } from "../contracts/storage.ts";
import { HostNetworks } from "../host/network/host-network/host-networks.ts";
import type { Config } from "./config/schema.ts";
import type { DaemonWorkers } from "./daemon-workers.ts";
import { nicsOf } from "./nics.ts";
import type { Parts } from "./parts/parts.ts";

interface Given {
  readonly config: Config;
  readonly parts: Parts;
  readonly logger: Logger;
  readonly keeper: Keeper;
}

interface Made {
  readonly users: VmUsers | undefined;
  readonly workers: DaemonWorkers;
  readonly cgroups: Pick<Cgroups, "enter">;
  readonly hostResolvConf: () => Promise<string>;
}

/** Undefined: pods with hostNetwork get no network. */
export function hostNetworks(
  { config, parts, logger, keeper }: Given,
  { users, workers, cgroups, hostResolvConf }: Made,
): HostNetworks | undefined {
  const { passt: program } = parts;
  if (config.network.host === "none" || users === undefined || nicsOf(keeper) === 0) return undefined;
  if (program === undefined) {
    const remedy = 'run `npm run setup`, or set network.host = "none"';
    logger.warn({ remedy }, "there is no pasta: pods with hostNetwork get no network");
    return undefined;
  }
  const directory = join(config.daemon.state_directory, "uplinks");
  const startMs = config.deadlines.hostNetwork;
  return new HostNetworks({
    keeper,
    workers: workers.rootfs,
    directory,
    startMs,
    logger,
    program,
    users,
    hostResolvConf,
    enterGroups: (procs, pid) => cgroups.enter(procs, pid),
  });
}
