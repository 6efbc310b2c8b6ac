/** A driver that makes templates of a file, with faults at a test's will. */
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type BlazarError, blazarError } from "../../../../src/contracts/errors.ts";
import type { BuildStep } from "../../../../src/contracts/templates.ts";
import type { Vm, VmShape } from "../../../../src/contracts/vm.ts";
import type { TemplateDriver, TemplateIdentity } from "../../../../src/contracts/vmm.ts";
import { abortable } from "../../../../src/lib/async.ts";

const FILE = "memory";

export class FakeTemplateDriver implements TemplateDriver {
  readonly diskId = undefined;
  /** Part of the identity: another kernel makes another template. */
  kernel = "6.1";
  identifyFails: Error | undefined;
  /** `hangs`: until it is aborted. `held`: until {@link letGo}. */
  fault: Error | "hangs" | "held" | undefined;
  bytes = 4096;
  letGo: () => void = () => undefined;
  readonly built: string[] = [];
  readonly verified: { readonly directory: string; readonly deep: boolean }[] = [];
  readonly forgotten: string[] = [];
  private waiting: (() => void)[] = [];

  /** Resolves when the next build has begun. */
  begun(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  async identify(shape: VmShape): Promise<TemplateIdentity> {
    if (this.identifyFails !== undefined) throw this.identifyFails;
    const parts = { kernel: this.kernel, vcpus: `${shape.vcpus}`, memory: `${shape.memoryBytes}` };
    return { key: Buffer.from(Object.values(parts).join("/")).toString("hex").padEnd(16, "0"), parts };
  }

  async build(
    _shape: VmShape,
    directory: string,
    ready: (vm: Vm, signal: AbortSignal) => Promise<void>,
    signal: AbortSignal,
  ): Promise<readonly BuildStep[]> {
    this.built.push(directory);
    await writeFile(join(directory, FILE), Buffer.alloc(this.bytes, "x"));
    for (const tell of this.waiting.splice(0)) tell();
    try {
      await this.suffer(signal);
      await ready({ id: "template" } as Vm, signal);
    } catch (error) {
      await rm(join(directory, FILE));
      throw error;
    }
    return [{ step: "paused", ms: 7 }];
  }

  async verify(directory: string, deep: boolean): Promise<void> {
    this.verified.push({ directory, deep });
    const content = existsSync(directory) ? await readFile(join(directory, FILE), "latin1") : "";
    if (!content.startsWith("x")) throw broken(directory, "its memory is not there");
    if (deep && content.includes("y")) throw broken(directory, "its memory has changed");
  }

  async forget(directory: string): Promise<void> {
    this.forgotten.push(directory);
  }

  private suffer(signal: AbortSignal): Promise<void> {
    const { fault } = this;
    if (fault instanceof Error) return Promise.reject(fault);
    if (fault === undefined) return Promise.resolve();
    const held = new Promise<void>((resolve) => {
      if (fault === "held") this.letGo = resolve;
    });
    return abortable(held, signal, { operation: "build a template" });
  }
}

function broken(subject: string, reason: string): BlazarError {
  return blazarError("TemplateBroken", "verify a template", reason, { subject });
}
