/**
 * Which daemon is asked: `--address`, else `--config`, else BLAZAR_ADDRESS, else the default configuration's.
 */
import { join } from "node:path";

/** In the state directory, unless `inspection.socket` says otherwise. */
const SOCKET_NAME = "inspection.sock";
const DEFAULT_STATE_DIRECTORY = "/run/blazar";

export interface SocketOptions {
  readonly address?: string;
  readonly config?: string;
}

/** Throws InvalidConfig. */
export async function daemonSocket(
  { address, config }: SocketOptions,
  env: NodeJS.ProcessEnv,
): Promise<string> {
  if (address !== undefined) return address.replace(/^unix:(\/\/)?/, "");
  if (config === undefined) return env["BLAZAR_ADDRESS"] ?? join(DEFAULT_STATE_DIRECTORY, SOCKET_NAME);
  const { loadConfig } = await import("../../daemon/config/load.ts");
  const { daemon } = await loadConfig(config);
  return join(daemon.state_directory, SOCKET_NAME);
}
