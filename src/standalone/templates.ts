/**
 * What an operator does with templates: build, list, remove, verify.
 *
 * It works on the directory that the daemon's configuration names, and may do so beside a running daemon: locks and
 * marks on disk keep the two apart. Work that needs a VMM has a keeper of its own in a temporary directory.
 */
import { BlazarError } from "../contracts/errors.ts";
import type { Logger } from "../contracts/logger.ts";
import type { BuiltTemplate, Template, TemplateStore } from "../contracts/templates.ts";
import { loadConfig } from "../daemon/config/load.ts";
import type { Config } from "../daemon/config/schema.ts";
import { openTemplateStore } from "../daemon/template-store.ts";
import { LocalTemplateStore } from "../host/templates/template-store.ts";
import type { GuestHello } from "../protocol/guest/messages.ts";
import type { Machine } from "./machine.ts";
import { Session } from "./session.ts";
import { keyOf } from "./template-tables.ts";

/** Called for each template: it was done, or failed with this error. */
export type Done = (key: string, error?: unknown) => void;

/** A template that is there now. */
export interface ReadyTemplate extends BuiltTemplate {
  /** Milliseconds since the guest kernel's start, by step of the guest's boot. */
  readonly guestSteps: Readonly<Record<string, number>>;
}

const AS_CONFIGURED: Machine = { vcpus: undefined, memory: undefined };
const INTERRUPTS = ["SIGINT", "SIGTERM"] as const;

type Work<T> = (store: TemplateStore, vmm: Config["vmm"], signal: AbortSignal) => Promise<T>;

/** The templates of one configuration. */
export class TemplateAdmin {
  private constructor(
    private readonly config: Config,
    private readonly logger: Logger,
  ) {}

  /** @param file the daemon's configuration; undefined = all defaults. Throws InvalidConfig. */
  static async open(file: string | undefined, logger: Logger): Promise<TemplateAdmin> {
    return new TemplateAdmin(await loadConfig(file), logger);
  }

  /** Makes a template of the configured or the given size, unless there is one. Undefined: called off by a signal. */
  build(machine: Machine): Promise<ReadyTemplate | undefined> {
    let guestSteps: Readonly<Record<string, number>> = {};
    const onGuest = ({ timeline }: GuestHello): void => {
      guestSteps = timeline;
    };
    return this.withDriver(machine, onGuest, async (store, { vcpus, memory }, signal) => {
      const built = await store.build({ vcpus, memoryBytes: memory }, signal);
      return { ...built, guestSteps };
    });
  }

  /** The last used first. */
  list(): Promise<readonly Template[]> {
    return this.withoutDriver().list();
  }

  /** Removes templates, named by their keys or the beginnings of these. Always true: nothing calls it off. */
  async remove(names: readonly string[], done: Done): Promise<true> {
    const store = this.withoutDriver();
    await each(await keysOf(store, names), done, (key) => store.remove(key));
    return true;
  }

  /** Reads the named templates, or all, and tells which are whole. False: called off by a signal. */
  async verify(names: readonly string[], done: Done): Promise<boolean> {
    const finished = await this.withDriver(AS_CONFIGURED, undefined, async (store) => {
      const keys = names.length === 0 ? (await store.list()).map(({ key }) => key) : undefined;
      await each(keys ?? (await keysOf(store, names)), done, (key) => store.verify(key));
      return true;
    });
    return finished === true;
  }

  /** For work on directories alone. */
  private withoutDriver(): TemplateStore {
    const { directory, disk_limit: diskLimitBytes } = this.config.template;
    const driver = { name: "none", templates: undefined };
    const prepare = () => Promise.resolve();
    return new LocalTemplateStore({ driver, directory, diskLimitBytes, prepare, logger: this.logger });
  }

  /** Undefined: a signal has called it off. */
  private async withDriver<T>(
    machine: Machine,
    onGuest: ((hello: GuestHello) => void) | undefined,
    work: Work<T>,
  ): Promise<T | undefined> {
    const interrupted = new AbortController();
    const interrupt = (): void => interrupted.abort();
    for (const signal of INTERRUPTS) process.on(signal, interrupt);
    let session: Session | undefined;
    let store: TemplateStore | undefined;
    try {
      session = await Session.open(machine, this.logger, this.config);
      const { templateHost } = await session.start({});
      store = openTemplateStore(this.config.template, templateHost, onGuest);
      return await work(store, session.config.vmm, interrupted.signal);
    } catch (error) {
      const calledOff = error instanceof BlazarError && error.code === "Cancelled";
      if (interrupted.signal.aborted && calledOff) return undefined;
      throw error;
    } finally {
      await store?.close();
      await session?.close();
      for (const signal of INTERRUPTS) process.off(signal, interrupt);
    }
  }
}

/** Goes on with the next when one fails. */
async function each(
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
async function keysOf(store: TemplateStore, names: readonly string[]): Promise<string[]> {
  const keys = (await store.list()).map(({ key }) => key);
  return names.map((name) => keyOf(name, keys) ?? name);
}
