/**
 * Templates of a {@link FakeVmmDriver}: what a guest was like when it was paused, kept in memory under a directory's name.
 *
 * A clone's guest starts with that: the same agent's life, the same prepared disks. Faults are set by a test and hold
 * until they are taken away.
 */
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import type { BuildStep } from "../../../src/contracts/templates.ts";
import { isSameShape, type Vm, type VmShape, type VmSpec } from "../../../src/contracts/vm.ts";
import type { TemplateDriver, TemplateIdentity } from "../../../src/contracts/vmm.ts";
import { abortable } from "../../../src/lib/async.ts";
import { FAKE_TEMPLATE_DISK, type FakeVm, type Inherited } from "./vm.ts";

/** A template that clones can be made of. */
export interface FakeTemplate extends Inherited {
  readonly shape: VmShape;
  readonly identity: TemplateIdentity;
}

/** What is wrong with templates. May be changed at any time. */
export interface TemplateFaults {
  identify?: BlazarError;
  /** `hangs`: until it is aborted. */
  build?: BlazarError | "hangs";
  verify?: BlazarError;
}

const KEY_DIGITS = 32;

export class FakeTemplates implements TemplateDriver {
  readonly diskId = FAKE_TEMPLATE_DISK;
  readonly faults: TemplateFaults = {};
  /** Part of the identity: another kernel makes other templates, and those that there are go out of date. */
  kernel = "6.1-fake";
  /** By directory. */
  readonly all = new Map<string, FakeTemplate>();
  /** Directories that were to be forgotten, in order. */
  readonly forgotten: string[] = [];

  /** `boot` starts the VM that becomes a template. */
  constructor(private readonly boot: (spec: VmSpec, signal: AbortSignal) => Promise<FakeVm>) {}

  async identify(shape: VmShape, signal?: AbortSignal): Promise<TemplateIdentity> {
    if (signal?.aborted === true) throw failure("Cancelled", "identify a template", "", "it was called off");
    if (this.faults.identify !== undefined) throw this.faults.identify;
    return this.identityOf(shape);
  }

  async build(
    shape: VmShape,
    directory: string,
    ready: (vm: Vm, signal: AbortSignal) => Promise<void>,
    signal: AbortSignal,
  ): Promise<readonly BuildStep[]> {
    const source = { kind: "boot" } as const;
    const id = `template-${this.identityOf(shape).key}`;
    const place = { id, directory: "/scratch" };
    const vm = await this.boot({ ...shape, ...place, user: undefined, cgroups: [], source }, signal);
    try {
      await this.suffer(signal);
      await ready(vm, signal);
      if (signal.aborted) throw failure("Cancelled", "build a template", directory, "it was called off");
      this.add(directory, shape, inheritedFrom(vm));
    } finally {
      await vm.kill();
    }
    return [{ step: "saved", ms: 7 }];
  }

  async verify(directory: string): Promise<void> {
    this.require(directory);
    if (this.faults.verify !== undefined) throw this.faults.verify;
  }

  async forget(directory: string): Promise<void> {
    this.forgotten.push(directory);
  }

  /** A template that is there as if it had been built; by default its guest has the disk prepared. */
  add(directory: string, shape: VmShape, state: Partial<Inherited> = {}): FakeTemplate {
    const { vcpus, memoryBytes, nics } = shape;
    const template = {
      agent: `template ${directory}`,
      preparedDisks: [this.diskId],
      ...state,
      shape: { vcpus, memoryBytes, nics },
      identity: this.identityOf(shape),
    };
    this.all.set(directory, template);
    return template;
  }

  /** What a clone of `directory` starts with. Throws TemplateNotFound, TemplateBroken, InvalidArgument. */
  cloneOf(directory: string, spec: VmSpec): Inherited {
    const template = this.require(directory);
    if (template.identity.key !== this.identityOf(template.shape).key)
      throw failure("TemplateBroken", "use the template", directory, "it is out of date");
    if (!isSameShape(template.shape, spec))
      throw failure("InvalidArgument", "clone a VM", spec.id, "its template has another shape");
    return template;
  }

  private require(directory: string): FakeTemplate {
    const template = this.all.get(directory);
    if (template !== undefined) return template;
    throw failure("TemplateNotFound", "use the template", directory, "there is none");
  }

  private identityOf({ vcpus, memoryBytes, nics }: VmShape): TemplateIdentity {
    const size = { vcpus: String(vcpus), memory: String(memoryBytes), nics: String(nics) };
    const parts = { kernel: this.kernel, ...size };
    const key = Buffer.from(Object.values(parts).join("/")).toString("hex");
    return { key: key.padEnd(KEY_DIGITS, "0"), parts };
  }

  private suffer(signal: AbortSignal): Promise<void> {
    const { build } = this.faults;
    if (build === undefined) return Promise.resolve();
    if (build !== "hangs") return Promise.reject(build);
    return abortable(new Promise<never>(() => undefined), signal, { operation: "build a template" });
  }
}

/** What goes over from a VM to those that are made of it. */
export function inheritedFrom(vm: FakeVm): Inherited {
  return { agent: vm.agent, preparedDisks: [...vm.guest.preparedDisks] };
}

function failure(code: BlazarError["code"], operation: string, subject: string, reason: string): BlazarError {
  return blazarError(code, operation, reason, { subject });
}
