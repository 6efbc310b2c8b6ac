/**
 * `blazar serve`: the daemon, from its sockets to its end.
 *
 * The start has this order: configuration, keeper, what a previous daemon has left, sockets. SIGTERM and SIGINT end the daemon
 * and no pod: the next daemon takes them over (`blazar drain` ends pods). A second signal ends it at once. A start that fails
 * closes what it has opened, and its error is thrown. Pods hold handles open, so whoever calls has to exit.
 */
import { constants } from "node:os";
import type { Logger } from "../contracts/logger.ts";
import { deferred } from "../lib/async.ts";
import { signalStatus } from "../lib/signals.ts";
import { loadConfig } from "./config/load.ts";
import type { Config } from "./config/schema.ts";
import { raiseSchedulingWeight } from "./tuning/scheduling.ts";

/** A wired daemon, ready to be driven by {@link serve}. */
export interface Daemon {
  readonly logger: Logger;
  /** Sees to what a previous daemon has left, then opens the sockets. */
  start(): Promise<void>;
  /** Takes no more calls, ends what no pod uses, and lets go of the rest. Takes two seconds at most; pods run on. */
  leave(): Promise<void>;
}

/** Puts a daemon together; see wiring.ts. */
export type WireDaemon = (config: Config) => Promise<Daemon>;

const SIGNALS = ["SIGTERM", "SIGINT"] as const;

/** Runs a daemon until a signal ends it; the returned number is the exit code. A signal that comes before it serves ends it, too. */
export async function serve(
  options: { readonly config?: string | undefined },
  wire: WireDaemon,
): Promise<number> {
  const signals = new Signals();
  try {
    const config = await loadConfig(options.config);
    const daemon = await unlessTold(wire(config), signals.first);
    // what it has opened so far ends with the process, as after SIGKILL
    return daemon === undefined ? 0 : await drive(daemon, signals);
  } finally {
    signals.close();
  }
}

async function drive(daemon: Daemon, signals: Signals): Promise<number> {
  try {
    await raiseSchedulingWeight(daemon.logger);
    await unlessTold(daemon.start(), signals.first);
  } catch (error) {
    await daemon.leave().catch((err: unknown) => daemon.logger.warn({ err }, "could not end in order"));
    throw error;
  }
  const signal = await signals.first;
  daemon.logger.info({ signal }, "blazard ends; pods run on, and the next blazard takes them over");
  await daemon.leave();
  return 0;
}

/** Undefined: the signal came first. The work goes on until the process ends. */
async function unlessTold<T>(work: Promise<T>, told: Promise<unknown>): Promise<T | undefined> {
  work.catch(() => undefined);
  return await Promise.race([work, told.then(() => undefined)]);
}

/** The first signal is told, the second one ends the process at once. */
class Signals {
  private readonly told = deferred<NodeJS.Signals>();
  private isTold = false;
  private readonly listeners = SIGNALS.map((signal) => [signal, () => this.receive(signal)] as const);

  constructor() {
    for (const [signal, listener] of this.listeners) process.on(signal, listener);
  }

  get first(): Promise<NodeJS.Signals> {
    return this.told.promise;
  }

  close(): void {
    for (const [signal, listener] of this.listeners) process.off(signal, listener);
  }

  private receive(signal: NodeJS.Signals): void {
    if (this.isTold) process.exit(signalStatus(constants.signals[signal]));
    this.isTold = true;
    this.told.resolve(signal);
  }
}
