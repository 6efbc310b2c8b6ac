/**
 * What commands on kept things have in common: things are named by keys, one failure does not end the rest, and a signal
 * calls the work off.
 */
import { BlazarError } from "../contracts/errors.ts";
import type { Logger } from "../contracts/logger.ts";
import type { Config } from "../daemon/config/schema.ts";
import type { Core } from "../daemon/core.ts";
import type { Machine } from "./machine.ts";
import { Session } from "./session.ts";
import { keyOf } from "./template-tables.ts";

/** Called for each thing: it was done, or failed with this error. */
export type Done = (key: string, error?: unknown) => void;

export const AS_CONFIGURED: Machine = { vcpus: undefined, memory: undefined };

const INTERRUPTS = ["SIGINT", "SIGTERM"] as const;

/** Goes on with the next when one fails. */
export async function each(
  keys: readonly string[],
  done: Done,
  work: (key: string) => Promise<void>,
): Promise<void> {
  for (const key of keys) {
    try {
      await work(key);
      done(key);
    } catch (error) {
      done(key, error);
    }
  }
}

/** Full keys of the names given: a name may be the beginning of one key. */
export async function keysOf(
  store: { list(): Promise<readonly { readonly key: string }[]> },
  names: readonly string[],
): Promise<string[]> {
  const keys = (await store.list()).map(({ key }) => key);
  return names.map((name) => keyOf(name, keys) ?? name);
}

/** The keys named, or all. */
export async function keysOrAll(
  store: { list(): Promise<readonly { readonly key: string }[]> },
  names: readonly string[],
): Promise<string[]> {
  return names.length === 0 ? (await store.list()).map(({ key }) => key) : await keysOf(store, names);
}

/** Work that needs a keeper: it gets one of its own. Undefined: a signal has called it off. */
export async function inSession<T>(
  machine: Machine,
  logger: Logger,
  config: Config,
  work: (core: Core, session: Session, signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  for (const signal of INTERRUPTS) process.on(signal, interrupt);
  let session: Session | undefined;
  try {
    session = await Session.open(machine, logger, config);
    return await work(await session.start({}), session, interrupted.signal);
  } catch (error) {
    const calledOff = error instanceof BlazarError && error.code === "Cancelled";
    if (interrupted.signal.aborted && calledOff) return undefined;
    throw error;
  } finally {
    await session?.close();
    for (const signal of INTERRUPTS) process.off(signal, interrupt);
  }
}
