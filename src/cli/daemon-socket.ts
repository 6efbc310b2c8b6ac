/**
 * Which daemon is asked: `--address`, else `--config`, else BLAZAR_ADDRESS, else the default configuration's.
 *
 * The configuration is loaded only where it is named: a command shall start quickly.
 */
import { join } from "node:path";
import type { Config } from "../daemon/config/schema.ts";

/** Options of every command that asks a daemon. */
export interface DaemonOptions {
  /** The inspection socket. */
  readonly address?: string;
  /** The daemon's configuration file, which says where its socket is. */
  readonly config?: string;
}

/** In the state directory, unless `inspection.socket` says otherwise. */
const SOCKET_NAME = "inspection.sock";
const DEFAULT_STATE_DIRECTORY = "/run/blazar";

/**
 * Throws InvalidConfig.
 * @param loaded what the configuration says, if it has been loaded already
 */
export async function daemonSocket(
  { address, config }: DaemonOptions,
  env: NodeJS.ProcessEnv,
  loaded?: Config,
): Promise<string> {
  if (address !== undefined) return address.replace(/^unix:(\/\/)?/, "");
  if (config === undefined) return env["BLAZAR_ADDRESS"] ?? join(DEFAULT_STATE_DIRECTORY, SOCKET_NAME);
  if (loaded !== undefined) return inspectionSocket(loaded);
  const { loadConfig } = await import("../daemon/config/load.ts");
  return inspectionSocket(await loadConfig(config));
}

function inspectionSocket({ daemon, inspection }: Config): string {
  return inspection.socket ?? join(daemon.state_directory, SOCKET_NAME);
}
