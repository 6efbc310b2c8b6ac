/**
 * What an operator does with templates: build, list, remove, verify.
 *
 * It works on the directory that the daemon's configuration names, and may do so beside a running daemon: locks and
 * marks on disk keep the two apart. Work that needs a VMM has a keeper of its own in a temporary directory.
 */
import type { Logger } from "../contracts/logger.ts";
import type { BuiltTemplate, Template, TemplateStore } from "../contracts/templates.ts";
import type { VmShape } from "../contracts/vm.ts";
import { loadConfig } from "../daemon/config/load.ts";
import type { Config } from "../daemon/config/schema.ts";
import { openTemplateStore } from "../daemon/stores/template-store.ts";
import { LocalTemplateStore } from "../host/templates/template-store.ts";
import type { GuestHello } from "../protocol/guest/messages.ts";
import { AS_CONFIGURED, type Done, eachNamed, eachNamedOrAll, inSession } from "./by-key.ts";
import type { Machine } from "./machine.ts";

/** A template that is there now. */
export interface ReadyTemplate extends BuiltTemplate {
  /** Milliseconds since the guest kernel's start, by step of the guest's boot. */
  readonly guestSteps: Readonly<Record<string, number>>;
}

/** `shape` is the configured one, or the one that was asked for. */
type Work<T> = (store: TemplateStore, shape: VmShape, signal: AbortSignal) => Promise<T>;

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
    return this.withDriver(machine, onGuest, async (store, shape, signal) => {
      const built = await store.build(shape, signal);
      return { ...built, guestSteps };
    });
  }

  /** Where they are. */
  get directory(): string {
    return this.config.template.directory;
  }

  /** The last used first. */
  list(): Promise<readonly Template[]> {
    return this.withoutDriver().list();
  }

  /** Removes templates, named by their keys or the beginnings of these. Always true: nothing calls it off. */
  async remove(names: readonly string[], done: Done): Promise<true> {
    const store = this.withoutDriver();
    await eachNamed(store, names, done, (key) => store.remove(key));
    return true;
  }

  /** Reads the named templates, or all, and tells which are whole. False: called off by a signal. */
  async verify(names: readonly string[], done: Done): Promise<boolean> {
    const finished = await this.withDriver(AS_CONFIGURED, undefined, async (store) => {
      await eachNamedOrAll(store, names, done, (key) => store.verify(key));
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
    return inSession(machine, this.logger, this.config, async ({ templateHost }, _, signal) => {
      const store = openTemplateStore(this.config.template, templateHost, onGuest);
      try {
        return await work(store, templateHost.defaultShape, signal);
      } finally {
        await store.close();
      }
    });
  }
}
