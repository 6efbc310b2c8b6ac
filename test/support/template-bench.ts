/**
 * Templates of real guests for tests: a driver with sealed memory under the real keeper, one template, and clones of it
 * with a link to their agents.
 */
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { GuestLink } from "../../src/actors/guest-link.ts";
import { silentLogger } from "../../src/contracts/logger.ts";
import type { Vm, VmShape } from "../../src/contracts/vmm.ts";
import { nodeText } from "../../src/host/node-text.ts";
import { sealMemory } from "../../src/host/sealed-memory.ts";
import { WorkerPool } from "../../src/host/storage/worker-pool.ts";
import type { QemuDriver } from "../../src/vmm/qemu/driver.ts";
import type { MemoryTasks } from "../../src/workers/memory.worker.ts";
import { QemuBench } from "./qemu-bench.ts";
import { bundleWorker, type WorkerBundle } from "./worker-bundle.ts";

const MEBIBYTE = 1024 * 1024;
const PING_MS = 20_000;
export const SHAPE: VmShape = { vcpus: 1, memoryBytes: 192 * MEBIBYTE };

/** A guest and how long it took to speak. */
export interface Guest {
  readonly vm: Vm;
  readonly link: GuestLink;
  /** From the launch to the agent's hello. */
  readonly helloMs: number;
}

export class TemplateBench {
  readonly driver: QemuDriver;
  readonly vms: Vm[] = [];
  #count = 0;

  private constructor(
    readonly qemu: QemuBench,
    private readonly bundle: WorkerBundle,
    private readonly workers: WorkerPool<MemoryTasks>,
  ) {
    const seal = (file: string): ReturnType<typeof sealMemory> => sealMemory(workers, file);
    this.driver = qemu.driverWith({ sealMemory: seal, ownUser: qemu.user() });
  }

  static async start(): Promise<TemplateBench> {
    const bundle = await bundleWorker("memory");
    const workers = new WorkerPool<MemoryTasks>({ file: bundle.file, maxThreads: 1 });
    return new TemplateBench(await QemuBench.start(), bundle, workers);
  }

  get templates(): NonNullable<QemuDriver["templates"]> {
    const { templates } = this.driver;
    if (templates === undefined) throw new Error("the driver has no templates");
    return templates;
  }

  /** An empty directory, closed to VMMs as the daemon's are. */
  async directory(): Promise<string> {
    const path = join(this.qemu.directory, "templates", `t${this.#count++}`);
    await mkdir(path, { recursive: true, mode: 0o700 });
    return path;
  }

  /** Builds a template whose agent has answered. */
  async build(
    directory: string,
    signal = new AbortController().signal,
  ): Promise<readonly { step: string; ms: number }[]> {
    const ready = async (vm: Vm): Promise<void> => {
      const link = await greet(vm);
      await link.request("ping", {}, { deadlineMs: PING_MS });
      link.close();
    };
    return this.templates.build(SHAPE, directory, ready, signal);
  }

  async clone(template: string, signal?: AbortSignal): Promise<Guest> {
    const spec = { ...(await this.qemu.spec(`clone-${this.#count++}`)), ...SHAPE, template };
    const started = performance.now();
    const vm = await this.driver.launch(spec, signal);
    this.vms.push(vm);
    const link = await greet(vm);
    return { vm, link, helloMs: performance.now() - started };
  }

  async killAll(): Promise<void> {
    await Promise.all(this.vms.splice(0).map((vm) => vm.kill()));
  }

  async dispose(): Promise<void> {
    await this.killAll();
    await this.workers.close();
    await this.bundle.remove();
    await this.qemu.dispose();
  }
}

async function greet(vm: Vm): Promise<GuestLink> {
  const session = randomBytes(16).toString("hex");
  const link = new GuestLink(await vm.connectAgent(), {
    sandboxId: vm.id,
    session,
    text: nodeText,
    logger: silentLogger,
  });
  await link.hello;
  return link;
}
