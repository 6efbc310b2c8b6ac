/**
 * `blazar serve`: the daemon, from its sockets to its end.
 *
 * The start has this order: configuration, keeper, what a previous daemon has left, sockets. SIGTERM and SIGINT end all pods
 * first, because a later daemon cannot take over running VMs yet; then the daemon leaves. A second signal ends it at once. A
 * start that fails closes what it has opened, and its error is thrown. What is left of pods may hold handles open, so whoever
 * calls has to exit.
 */
import { constants } from "node:os";
import type { Logger } from "../contracts/logger.ts";
import { signalStatus } from "../lib/signals.ts";
import { loadConfig } from "./config/load.ts";
import type { Config } from "./config/schema.ts";
import { raiseSchedulingWeight } from "./tuning/scheduling.ts";

/** A wired daemon, ready to be driven by {@link serve}. */
export interface Daemon {
  readonly logger: Logger;
  /** Sees to what a previous daemon has left, then opens the sockets. */
  start(): Promise<void>;
  /** Refuses new pods and ends all that are there. */
  endPods(): Promise<void>;
  /** Takes no more calls, ends what no pod uses, and lets go of the rest. Takes two seconds at most. */
  leave(): Promise<void>;
}

/** Puts a daemon together; see wiring.ts. */
export type WireDaemon = (config: Config) => Promise<Daemon>;

const SIGNALS = ["SIGTERM", "SIGINT"] as const;

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
    await daemon.leave().catch((err: unknown) => daemon.logger.warn({ err }, "could not end in order"));
    throw error;
  }
  const signal = await nextSignal();
  for (const second of SIGNALS)
    process.once(second, () => process.exit(signalStatus(constants.signals[second])));
  daemon.logger.info({ signal }, "draining: pods are ended, then blazard exits");
  await daemon.endPods();
  await daemon.leave();
  return 0;
}

function nextSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of SIGNALS) process.once(signal, () => resolve(signal));
  });
}
