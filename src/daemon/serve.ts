/**
 * `blazar serve`: the daemon, from its sockets to its end.
 *
 * The start has this order: configuration, keeper, clean-up after a previous daemon, sockets. SIGTERM and SIGINT
 * drain: no new calls are taken, sandboxes are ended, then the daemon exits with 0. Sandboxes are ended because a later
 * daemon cannot take over running VMs yet. A start that fails closes what it has opened, and its error is thrown.
 */
import type { Logger } from "../contracts/logger.ts";
import { loadConfig } from "./config/load.ts";
import type { Config } from "./config/schema.ts";
import { raiseSchedulingWeight } from "./tuning/scheduling.ts";

/** A wired daemon, ready to be driven by {@link serve}. */
export interface Daemon {
  readonly logger: Logger;
  /** Cleans up after a previous daemon, then opens the sockets. */
  start(): Promise<void>;
  /** Refuses new calls, ends sandboxes, closes the sockets. */
  drain(): Promise<void>;
}

/** Puts a daemon together; see wiring.ts. */
export type WireDaemon = (config: Config) => Promise<Daemon>;

/** Runs a daemon until a signal ends it; the returned number is the exit code. */
export async function serve(
  options: { readonly config?: string | undefined },
  wire: WireDaemon,
): Promise<number> {
  const config = await loadConfig(options.config);
  const daemon = await wire(config);
  try {
    await raiseSchedulingWeight(daemon.logger);
    await daemon.start();
  } catch (error) {
    // what is open already (the link to the keeper, at least) would keep this process alive
    await daemon.drain().catch((err: unknown) => daemon.logger.warn({ err }, "could not end in order"));
    throw error;
  }
  const signal = await nextSignal();
  daemon.logger.info({ signal }, "draining: sandboxes are ended, then blazard exits");
  await daemon.drain();
  return 0;
}

function nextSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
}
