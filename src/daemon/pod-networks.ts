/**
 * Which networks pods get on this host: the host's own through pasta if it is configured and can be had.
 */
import { join } from "node:path";
import type { VmUsers } from "../actors/vm/users.ts";
import type { Keeper } from "../contracts/keeper.ts";
import type { Logger } from "../contracts/logger.ts";
import type { PodNetworks } from "../contracts/network.ts";
import { HostNetworks } from "../host/network/host-network/host-networks.ts";
import { HostNetworkOnly } from "../host/network/host-network-only.ts";
import type { Config } from "./config/schema.ts";
import type { DaemonWorkers } from "./daemon-workers.ts";
import { nicsOf } from "./nics.ts";
import type { Parts } from "./parts.ts";

interface Given {
  readonly config: Config;
  readonly parts: Parts;
  readonly logger: Logger;
  readonly keeper: Keeper;
}

interface Made {
  readonly users: VmUsers | undefined;
  readonly workers: DaemonWorkers;
  readonly hostResolvConf: () => Promise<string>;
}

export function podNetworks(given: Given, made: Made): PodNetworks {
  return hostNetworks(given, made) ?? new HostNetworkOnly();
}

/** Undefined: pods with hostNetwork get no network. */
export function hostNetworks(
  { config, parts, logger, keeper }: Given,
  { users, workers, hostResolvConf }: Made,
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
  const { network } = workers;
  return new HostNetworks({
    keeper,
    workers: network,
    directory,
    startMs,
    logger,
    program,
    users,
    hostResolvConf,
  });
}
