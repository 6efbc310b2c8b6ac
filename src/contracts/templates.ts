/**
 * The port to the store of templates: booted VMs, paused and written down, that others are cloned from.
 *
 * The store decides which templates are kept, where and for how long; a driver's TemplateDriver (vmm.ts) makes and
 * checks them. Whoever starts VMs asks with `use` and boots when there is none: no start ever waits for a build.
 */
import type { BlazarError } from "./errors.ts";
import type { VmShape } from "./vm.ts";
import type { TemplateIdentity } from "./vmm.ts";

/** A whole template on disk. */
export interface Template {
  /** That of {@link identity}; names it for operators. */
  readonly key: string;
  /** Absolute; what `VmSpec.template` takes. */
  readonly directory: string;
  readonly shape: VmShape;
  readonly identity: TemplateIdentity;
  readonly createdAt: Date;
  readonly lastUsedAt: Date;
  /** Allocated on disk; the files are sparse. */
  readonly bytes: number;
}

/** A step of a build and how long it took. */
export interface BuildStep {
  readonly step: string;
  readonly ms: number;
}

/** What `build` has made, or found. */
export interface BuiltTemplate extends Template {
  /** In order; empty if the template was there already, or another process has built it meanwhile. */
  readonly steps: readonly BuildStep[];
}

/** Holds a template: as long as a lease is out, it is not dropped. */
export interface TemplateLease {
  readonly template: Template;
  /**
   * No VM could be cloned from it, or a clone did not come up, for this reason: nobody uses the template before all of it was
   * read and found whole, and after a second time it is made anew.
   */
  distrust(error: BlazarError): void;
  /** Idempotent. */
  release(): void;
}

export interface TemplateStore {
  /**
   * A whole, current template of this shape, or undefined: then the caller boots, and the store builds one behind (once,
   * with one log line; a failed build is not tried again for a minute, then two, …). Never throws, never waits for a build.
   */
  use(shape: VmShape): Promise<TemplateLease | undefined>;
  /**
   * Builds it if it is missing; joins a build under way. A build ends when all who wait for it have given up.
   * @throws BlazarError Unimplemented where the driver cannot clone, Cancelled, ResourceExhausted (disk_limit), what the
   *   driver says
   */
  build(shape: VmShape, signal?: AbortSignal): Promise<BuiltTemplate>;
  /** The keys of all templates, broken ones too, in no order. @throws BlazarError HostResource (the directory) */
  keys(): Promise<readonly string[]>;
  /** All whole templates, the last used first. */
  list(): Promise<readonly Template[]>;
  /** @throws BlazarError TemplateNotFound, TemplateInUse (here or in another process) */
  remove(key: string): Promise<void>;
  /** Reads all of it. @throws BlazarError TemplateNotFound, TemplateBroken */
  verify(key: string): Promise<void>;
  /** Ends builds and gives back all leases. */
  close(): Promise<void>;
}
