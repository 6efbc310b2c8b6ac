/**
 * `blazar template build|ls|rm|verify`: what an operator does with templates.
 *
 * Works on the directory that the configuration names, beside a running daemon: locks and marks on disk keep the two
 * out of each other's way. What needs a VMM has a keeper of its own in a temporary directory while it lasts.
 */
import { pino } from "pino";
import { BlazarError, reasonOf } from "../contracts/errors.ts";
import type { Logger } from "../contracts/logger.ts";
import type { TemplateStore } from "../contracts/templates.ts";
import { loadConfig } from "../daemon/config/load.ts";
import { type Machine, readMachine } from "../daemon/config/machine.ts";
import type { Config } from "../daemon/config/schema.ts";
import { openTemplateStore } from "../daemon/template-store.ts";
import { LocalTemplateStore } from "../host/templates/template-store.ts";
import type { GuestHello } from "../protocol/guest/messages.ts";
import { Session } from "../standalone/session.ts";
import { LineLog } from "./line-log.ts";
import { keyOf, stepTable, templateTable } from "./template-tables.ts";

/** What all of them take. */
export interface TemplateOptions {
  /** The daemon's configuration file. */
  readonly config?: string;
  /** Shows what is done and how long it took. */
  readonly verbose?: boolean;
}

/** What `build` takes besides. */
export interface TemplateBuildOptions extends TemplateOptions {
  readonly memory?: string;
  readonly cpus?: string;
}

/** What `ls` takes besides. */
export interface TemplateListOptions extends TemplateOptions {
  readonly json?: boolean;
}

const FAILED = 1;

/** Makes a template of the configured or the given size, unless it is there; prints its key. Returns the exit code. */
export async function buildTemplate(options: TemplateBuildOptions): Promise<number> {
  const machine = readMachine(options);
  let hello: GuestHello | undefined;
  const onGuest = (said: GuestHello): void => {
    hello = said;
  };
  return withDriver(options, machine, onGuest, async (store, config, signal) => {
    const built = await store.build({ vcpus: config.vcpus, memoryBytes: config.memory }, signal);
    process.stdout.write(`${built.key}\n`);
    if (options.verbose !== true) return 0;
    const table = stepTable(built.steps, hello?.timeline ?? {});
    process.stdout.write(built.steps.length === 0 ? "it was there already\n" : table);
    return 0;
  });
}

/** Prints the templates, the last used first. Returns the exit code. */
export async function listTemplates(options: TemplateListOptions): Promise<number> {
  const store = withoutDriver(await loadConfig(options.config), log(options));
  const templates = await store.list();
  const text =
    options.json === true
      ? `${JSON.stringify(templates, undefined, 2)}\n`
      : templateTable(templates, new Date());
  process.stdout.write(text);
  return 0;
}

/** Removes templates, named by their keys or what these begin with. Returns the exit code. */
export async function removeTemplates(keys: readonly string[], options: TemplateOptions): Promise<number> {
  const store = withoutDriver(await loadConfig(options.config), log(options));
  return each(await named(store, keys), "removed", (key) => store.remove(key));
}

/** Reads the named templates, or all, and says which are whole. Returns the exit code. */
export async function verifyTemplates(keys: readonly string[], options: TemplateOptions): Promise<number> {
  const machine = { vcpus: undefined, memory: undefined };
  return withDriver(
    options,
    machine,
    () => undefined,
    async (store) => {
      const all = keys.length === 0 ? (await store.list()).map(({ key }) => key) : await named(store, keys);
      return each(all, "whole", (key) => store.verify(key));
    },
  );
}

/** Goes on with the next when one fails. */
async function each(
  keys: readonly string[],
  done: string,
  work: (key: string) => Promise<void>,
): Promise<number> {
  let code = 0;
  for (const key of keys) {
    try {
      await work(key);
      process.stdout.write(`${key} ${done}\n`);
    } catch (error) {
      process.stderr.write(`blazar: ${reasonOf(error)}\n`);
      code = FAILED;
    }
  }
  return code;
}

/** Keys as they are, those shown short in full. */
async function named(store: TemplateStore, given: readonly string[]): Promise<string[]> {
  const keys = (await store.list()).map(({ key }) => key);
  return given.map((name) => keyOf(name, keys) ?? name);
}

/** For what is done to directories alone. */
function withoutDriver(config: Config, logger: Logger): TemplateStore {
  return new LocalTemplateStore({
    driver: { name: "none", templates: undefined },
    directory: config.template.directory,
    diskLimitBytes: config.template.disk_limit,
    prepare: () => Promise.resolve(),
    logger,
  });
}

async function withDriver(
  options: TemplateOptions,
  machine: Machine,
  onGuest: (hello: GuestHello) => void,
  work: (store: TemplateStore, vmm: Config["vmm"], signal: AbortSignal) => Promise<number>,
): Promise<number> {
  const given = await loadConfig(options.config);
  const logger = log(options);
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, interrupt);
  let session: Session | undefined;
  let store: TemplateStore | undefined;
  try {
    session = await Session.open(machine, logger, given);
    const { host } = await session.start({});
    store = openTemplateStore(given.template, host, onGuest);
    return await work(store, session.config.vmm, interrupted.signal);
  } catch (error) {
    if (interrupted.signal.aborted && error instanceof BlazarError && error.code === "Cancelled")
      return FAILED;
    throw error;
  } finally {
    await store?.close();
    await session?.close();
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, interrupt);
  }
}

function log({ verbose }: TemplateOptions): Logger {
  if (verbose !== true) return new LineLog();
  return pino({ level: "debug", base: {} }, pino.destination({ dest: 2, sync: true }));
}
