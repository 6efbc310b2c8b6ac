/**
 * What commands on kept things have in common: things are named by keys, one failure does not end the rest, and a signal
 * calls the work off.
 */
import { BlazarError, blazarError } from "../contracts/errors.ts";
import type { Logger } from "../contracts/logger.ts";
import type { Config } from "../daemon/config/schema.ts";
import type { Core } from "../daemon/core.ts";
import type { Machine } from "./machine.ts";
import { Session } from "./session.ts";

/** Called for each thing: it was done, or failed with this error. */
export type Done = (key: string, error?: unknown) => void;

export const AS_CONFIGURED: Machine = { vcpus: undefined, memory: undefined };

const OPERATION = "find a key";
const INTERRUPTS = ["SIGINT", "SIGTERM"] as const;

/** A store, as far as its keys matter. */
interface Keyed {
  /** Broken things are among them. */
  keys(): Promise<readonly string[]>;
}

/** Works on each thing named: by its key, or by what only its key begins with. Goes on with the next when one fails. */
export async function eachNamed(
  store: Keyed,
  names: readonly string[],
  done: Done,
  work: (key: string) => Promise<void>,
): Promise<void> {
  const keys = await store.keys();
  for (const name of names) {
    try {
      const key = keyOf(name, keys);
      await work(key);
      done(key);
    } catch (error) {
      done(name, error);
    }
  }
}

/** Works on those named, or on all. */
export async function eachNamedOrAll(
  store: Keyed,
  names: readonly string[],
  done: Done,
  work: (key: string) => Promise<void>,
): Promise<void> {
  await eachNamed(store, names.length === 0 ? await store.keys() : names, done, work);
}

/** The one key that begins with a name; the name itself if none does. Throws InvalidArgument. */
export function keyOf(name: string, keys: readonly string[]): string {
  if (name === "") throw blazarError("InvalidArgument", OPERATION, "it is empty");
  const found = keys.filter((key) => key.startsWith(name));
  if (found.length > 1 && !found.includes(name)) {
    const about = { subject: name, remedy: "give more digits of it" };
    throw blazarError("InvalidArgument", OPERATION, `${found.length} keys begin with it`, about);
  }
  return found.length === 1 ? (found[0] ?? name) : name;
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
