/**
 * How far the templates on disk are trusted: only while the VMs that are copied from them come up.
 *
 * A template's memory is too much to be read before a start. So all of it is read once, behind the starts, after its first use
 * in this process's life. A template of which a clone did not come up is left alone until all of it was read: pods boot
 * meanwhile. If it is whole, that clone may have been the host's fault; the second time the template is made anew.
 */
import type { BlazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";

/** The first pods of a daemon have started by then. */
const EXAMINE_AFTER_MS = 10_000;

export interface TemplateTrustOptions {
  /** Reads all of a template, and removes it if it is damaged. @throws BlazarError TemplateBroken */
  readonly examine: (key: string) => Promise<unknown>;
  readonly drop: (key: string) => Promise<void>;
  readonly logger: Logger;
  /** Default 10 s. */
  readonly examineAfterMs?: number | undefined;
}

export class TemplateTrust {
  private readonly examined = new Set<string>();
  /** A clone of it did not come up. */
  private readonly suspects = new Set<string>();
  /** By key; what is under way. */
  private readonly suspended = new Map<string, Promise<void>>();
  private readonly timers = new Set<NodeJS.Timeout>();
  private readonly work = new Set<Promise<void>>();

  constructor(private readonly options: TemplateTrustOptions) {}

  /** Nobody may use it now. */
  isSuspended(key: string): boolean {
    return this.suspended.has(key);
  }

  /** Somebody uses it. */
  used(key: string): void {
    if (this.examined.has(key)) return;
    this.examined.add(key);
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      void this.track(this.examine(key));
    }, this.options.examineAfterMs ?? EXAMINE_AFTER_MS);
    timer.unref();
    this.timers.add(timer);
  }

  /** A clone of it did not come up. */
  distrust(key: string, error: BlazarError): void {
    // many starts at once find the same fault
    if (this.isSuspended(key)) return;
    const { logger } = this.options;
    const again = this.suspects.delete(key);
    if (!again) this.suspects.add(key);
    const fields = { err: error, template: key };
    if (again)
      logger.error(
        fields,
        "clones of a template did not come up twice: it is removed, and another one is built",
      );
    else
      logger.warn(
        fields,
        "a clone of a template did not come up: pods boot until all of the template was examined",
      );
    const done = this.track(again ? this.drop(key) : this.examine(key)).finally(() =>
      this.suspended.delete(key),
    );
    this.suspended.set(key, done);
  }

  /** Resolves when nothing is read any more. */
  async close(): Promise<void> {
    for (const timer of this.timers) clearTimeout(timer);
    await Promise.all(this.work);
  }

  private async examine(key: string): Promise<void> {
    try {
      await this.options.examine(key);
    } catch (error) {
      this.suspects.delete(key);
      this.examined.delete(key);
      const what = "a template is damaged and was removed: pods boot, and another one is built";
      this.options.logger.error({ err: error, template: key }, what);
    }
  }

  private async drop(key: string): Promise<void> {
    this.examined.delete(key);
    await this.options.drop(key).catch((error: unknown) => {
      this.options.logger.error({ err: error, template: key }, "a template could not be removed");
    });
  }

  private track(work: Promise<void>): Promise<void> {
    this.work.add(work);
    return work.finally(() => this.work.delete(work));
  }
}
