/**
 * The store of templates on this host's disk, for any driver that makes some.
 *
 * All Blazar processes with the same `template.directory` share their templates. A template is built once, under a lock, and
 * is not dropped while any process uses it. Nothing found on disk is trusted before it was checked once.
 */
import { BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { BuiltTemplate, Template, TemplateLease, TemplateStore } from "../../contracts/templates.ts";
import type { Vm, VmShape } from "../../contracts/vm.ts";
import type { TemplateDriver, TemplateIdentity, VmmDriver } from "../../contracts/vmm.ts";
import { onAbort, throwIfAborted } from "../../lib/async.ts";
import { Builds } from "../builds/builds.ts";
import { makeRoom } from "../builds/room.ts";
import { lock } from "../file-lock.ts";
import { Leases } from "./leases.ts";
import { type Draft, TemplateFiles } from "./template-files.ts";
import { TemplateTrust, type TemplateTrustOptions } from "./template-trust.ts";

/** A boot under emulation on a crowded host, twice over. */
const BUILD_MS = 600_000;

export interface TemplateStoreOptions extends Pick<TemplateTrustOptions, "examineAfterMs"> {
  readonly driver: Pick<VmmDriver, "name" | "templates">;
  /** Absolute; made when the first template is. */
  readonly directory: string;
  /** Allocated bytes of all templates together; the least recently used are dropped to keep it. */
  readonly diskLimitBytes: number;
  /** Brings a booted guest into the state that its clones shall wake in. */
  readonly prepare: (vm: Vm, signal: AbortSignal) => Promise<void>;
  readonly logger: Logger;
  /** Milliseconds since the epoch; default Date.now. */
  readonly now?: () => number;
  /** Longest that one build may take, its wait for the lock not counted. */
  readonly buildMs?: number;
}

export class LocalTemplateStore implements TemplateStore {
  private readonly files: TemplateFiles;
  private readonly leases: Leases;
  private readonly builds: Builds<BuiltTemplate>;
  private readonly trust: TemplateTrust;
  private readonly now: () => number;
  private readonly shapes = new Map<string, { shape: VmShape; identity: TemplateIdentity }>();
  /** Checked by this process; a promise, so that many starts at once check once. */
  private readonly checked = new Map<string, Promise<Template | undefined>>();
  private closed = false;
  private lastTrouble = "";

  constructor(private readonly options: TemplateStoreOptions) {
    this.now = options.now ?? Date.now;
    this.files = new TemplateFiles(options.directory);
    this.leases = new Leases(
      (key, held) => this.files.mark(key, held),
      (error) => this.options.logger.debug({ err: error }, "a template's mark could not be removed"),
    );
    const { logger, examineAfterMs } = options;
    this.trust = new TemplateTrust({
      ...{ logger, examineAfterMs },
      examine: (key) => this.check(this.driver(), key, true),
      drop: (key) => this.drop(key),
    });
    this.builds = new Builds((key, signal) => this.make(key, signal), this.now, "build a template");
  }

  async use(shape: VmShape): Promise<TemplateLease | undefined> {
    const { templates } = this.options.driver;
    if (templates === undefined || this.closed) return undefined;
    try {
      return await this.lease(templates, shape);
    } catch (error) {
      this.trouble(error);
      return undefined;
    }
  }

  async build(shape: VmShape, signal?: AbortSignal): Promise<BuiltTemplate> {
    const templates = this.driver();
    const identity = await templates.identify(shape, signal);
    this.shapes.set(identity.key, { shape, identity });
    const found = await this.find(templates, identity.key);
    return typeof found === "string" ? this.builds.join(identity.key, signal) : { ...found, steps: [] };
  }

  keys(): Promise<readonly string[]> {
    return this.files.keys();
  }

  async list(): Promise<readonly Template[]> {
    const found: Template[] = [];
    for (const key of await this.files.keys()) {
      try {
        const template = await this.files.read(key);
        if (template !== undefined) found.push(template);
      } catch (error) {
        this.options.logger.warn({ err: error, template: key }, "a template is broken");
      }
    }
    return found.sort((a, b) => b.lastUsedAt.getTime() - a.lastUsedAt.getTime());
  }

  async remove(key: string): Promise<void> {
    const operation = "remove a template";
    if (this.leases.count(key) > 0) throw inUse(operation, key);
    const outcome = await this.files.remove(key, false);
    if (outcome === "held") throw inUse(operation, key);
    if (outcome === "absent") throw notFound(operation, key);
    await this.forget(key);
  }

  async verify(key: string): Promise<void> {
    const template = await this.files.read(key);
    if (template === undefined) throw notFound("verify a template", key);
    await this.driver().verify(template.directory, true);
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.builds.close();
    await this.trust.close();
    await this.leases.close();
  }

  private async lease(templates: TemplateDriver, shape: VmShape): Promise<TemplateLease | undefined> {
    const identity = await templates.identify(shape);
    const { key } = identity;
    if (this.trust.isSuspended(key)) return undefined;
    const found = await this.find(templates, key);
    if (typeof found === "string") return this.buildBehind(shape, identity, found);
    const release = await this.leases.take(key);
    const at = new Date(this.now());
    if (release !== undefined && (await this.files.touch(key, at))) {
      const distrust = (error: BlazarError) => this.trust.distrust(key, error);
      this.trust.used(key);
      return { template: { ...found, lastUsedAt: at }, distrust, release };
    }
    release?.();
    await this.forget(key);
    return this.buildBehind(shape, identity, "it was removed");
  }

  /** A template that was checked, or why there is none. */
  private async find(templates: TemplateDriver, key: string): Promise<Template | string> {
    let reason = "there is none yet";
    let check = this.checked.get(key);
    if (check === undefined) {
      check = this.check(templates, key).catch((error: unknown) => {
        reason = reasonOf(error);
        return undefined;
      });
      this.checked.set(key, check);
    }
    const template = await check;
    if (template !== undefined) return template;
    if (this.checked.get(key) === check) this.checked.delete(key);
    return reason;
  }

  /** Reads and checks one, with `deep` all of it; a broken one is removed. Undefined = not there. */
  private async check(templates: TemplateDriver, key: string, deep = false): Promise<Template | undefined> {
    try {
      const template = await this.files.read(key);
      if (template !== undefined) await templates.verify(template.directory, deep);
      return template;
    } catch (error) {
      await this.drop(key);
      throw error;
    }
  }

  /** Whoever has a lease keeps what he has mapped; nobody gets another one. */
  private async drop(key: string): Promise<void> {
    await this.files.remove(key, true);
    await this.forget(key);
  }

  private buildBehind(shape: VmShape, identity: TemplateIdentity, reason: string): undefined {
    const { key } = identity;
    const { logger } = this.options;
    this.shapes.set(key, { shape, identity });
    const fields = { template: key, vcpus: shape.vcpus, memoryBytes: shape.memoryBytes, nics: shape.nics };
    this.builds.behind(key, {
      onBegin: () =>
        logger.warn({ ...fields, reason }, "no template for this VM: it boots, and one is built behind"),
      onFailure: (error, pauseMs) =>
        logger.warn(
          { ...fields, err: error, retryAfterMs: pauseMs },
          "a template could not be built: VMs boot",
        ),
    });
  }

  /** One build, from the lock to the finished template. */
  private async make(key: string, signal: AbortSignal): Promise<BuiltTemplate> {
    const templates = this.driver();
    const wanted = this.shapes.get(key);
    if (wanted === undefined) throw notFound("build a template", key);
    await this.files.prepare();
    const held = await lock(this.files.lockFile, signal, () =>
      this.options.logger.info({ template: key }, "another template is being built: waiting"),
    );
    try {
      await this.files.sweep();
      // Another process may have built it while this one waited.
      const found = await this.find(templates, key);
      if (typeof found !== "string") return { ...found, steps: [] };
      return await this.makeLocked(templates, wanted, signal);
    } finally {
      await held.release();
    }
  }

  private async makeLocked(
    templates: TemplateDriver,
    { shape, identity }: { readonly shape: VmShape; readonly identity: TemplateIdentity },
    signal: AbortSignal,
  ): Promise<BuiltTemplate> {
    const { prepare, logger, buildMs = BUILD_MS } = this.options;
    const draft = await this.files.draft();
    try {
      const build = (limited: AbortSignal) => templates.build(shape, draft.vm, prepare, limited);
      const steps = await inTime(build, buildMs, signal, identity.key);
      await this.makeRoom(await this.files.size(draft));
      await this.files.publish(draft, identity, shape, new Date(this.now()));
      const template = await this.files.read(identity.key);
      if (template === undefined) throw notFound("read a new template", identity.key);
      this.checked.set(identity.key, Promise.resolve(template));
      const ms = Math.round(steps.reduce((sum, step) => sum + step.ms, 0));
      logger.info({ template: identity.key, bytes: template.bytes, ms }, "a template is built");
      return { ...template, steps };
    } catch (error) {
      await this.dropDraft(draft);
      throw BlazarError.wrap(error, "VmmFailed", { operation: "build a template", subject: identity.key });
    }
  }

  private async dropDraft(draft: Draft): Promise<void> {
    await this.files
      .drop(draft)
      .catch((error: unknown) => this.options.logger.warn({ err: error }, "half a template is left"));
  }

  private async makeRoom(bytes: number): Promise<void> {
    const { diskLimitBytes, logger } = this.options;
    await makeRoom(bytes, diskLimitBytes, {
      what: "a template",
      remedy: "raise template.disk_limit",
      list: () => this.list(),
      held: (key) => this.held(key),
      remove: (key) => this.removeUnheld(key),
      onDropped: (template, size) =>
        logger.info({ template, bytes: size }, "the least recently used template is dropped"),
    });
  }

  private async removeUnheld(key: string): Promise<boolean> {
    if ((await this.files.remove(key, false)) === "held") return false;
    await this.forget(key);
    return true;
  }

  private async held(key: string): Promise<boolean> {
    return this.leases.count(key) > 0 || (await this.files.held(key));
  }

  private async forget(key: string): Promise<void> {
    this.checked.delete(key);
    this.leases.lost(key);
    await this.options.driver.templates?.forget(this.files.directory(key));
  }

  private driver(): TemplateDriver {
    const { name, templates } = this.options.driver;
    if (templates !== undefined) return templates;
    const reason = `the VMM driver ${name} cannot clone VMs`;
    throw blazarError("Unimplemented", "use templates", reason);
  }

  /** What stands in the way of every use is told once, not once a start. */
  private trouble(error: unknown): void {
    const reason = reasonOf(error);
    const fields = { err: error, directory: this.options.directory };
    if (reason === this.lastTrouble) this.options.logger.debug(fields, "no templates: VMs boot");
    else this.options.logger.warn(fields, "no templates: VMs boot");
    this.lastTrouble = reason;
  }
}

/** Runs a build, which is aborted with `signal` or when its time is over, and is waited for in any case. */
async function inTime<T>(
  build: (limited: AbortSignal) => Promise<T>,
  ms: number,
  signal: AbortSignal,
  subject: string,
): Promise<T> {
  const what = { operation: "build a template", subject };
  const controller = new AbortController();
  const forget = onAbort(signal, () => controller.abort());
  let overdue = false;
  const timer = setTimeout(() => {
    overdue = true;
    controller.abort();
  }, ms);
  try {
    const result = await build(controller.signal);
    throwIfAborted(controller.signal, what);
    return result;
  } catch (cause) {
    if (!overdue) throw cause;
    throw blazarError("DeadlineExceeded", what.operation, `not done within ${ms} ms`, { subject, cause });
  } finally {
    clearTimeout(timer);
    forget();
  }
}

function notFound(operation: string, key: string): BlazarError {
  const remedy = "see: blazar template ls";
  return blazarError("TemplateNotFound", operation, "there is none", { subject: key, remedy });
}

function inUse(operation: string, key: string): BlazarError {
  return blazarError("TemplateInUse", operation, "VMs are cloned from it", { subject: key });
}
