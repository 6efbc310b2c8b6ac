/**
 * The VM that others are forked from: a clone, set up and rehearsed as the pool's are, then paused for good.
 *
 * There is at most one, of the default size, made in a pause after the first start. Without it VMs are clones. It has a
 * journal of its own, ends under memory pressure and with the daemon, and is made anew if it dies. Chart: `pool`.
 */
import { type Actor, createActor, fromPromise } from "xstate";
import { BlazarError } from "../../contracts/errors.ts";
import type { Vm, VmShape, VmSpec } from "../../contracts/vm.ts";
import type { OriginalVm } from "../../contracts/vmm.ts";
import { poolMachine } from "../../machines/pool.machine.ts";
import { prepareChild } from "../guest/spare-child.ts";
import type { Host } from "../host.ts";
import { SandboxRuntime } from "../sandbox/sandbox.actor.ts";
import { until } from "../until.ts";
import { poolSpec } from "./pool.actor.ts";
import { rehearse } from "./rehearsal.ts";
import type { Originals } from "./vm-supply.ts";

const INTERVAL_MS = 250;
const PRESSURE_INTERVAL_MS = 5_000;
const ID_BYTES = 5;
/** Forks that failed in a row. */
const GIVE_UP_AFTER = 3;

export interface OriginalSettings {
  /** A root with a static `/bin/true`, for the rehearsal. */
  readonly rehearsalRoot: string;
  /** As the pool's. */
  readonly pressureLimit: number;
  readonly pressure: () => Promise<number | undefined>;
}

interface Made {
  readonly runtime: SandboxRuntime;
  readonly original: OriginalVm;
}

export class OriginalKeeper implements Originals {
  private made: Made | undefined;
  private failures = 0;
  private readonly actor: Actor<typeof poolMachine>;
  private watch: NodeJS.Timeout | undefined;

  constructor(
    private readonly host: Host,
    private readonly settings: OriginalSettings,
  ) {
    this.actor = createActor(
      poolMachine.provide({
        actors: {
          awaitPause: fromPromise<void, { readonly urgent: boolean }>(({ signal }) =>
            // an idle daemon that never started anything has none
            this.host.supply.pause(signal, { afterFirst: true }),
          ),
          fill: fromPromise<void, undefined>(({ signal }) => this.make(signal)),
          drain: fromPromise<void, undefined>(() => this.drain()),
        },
      }),
      { input: { min: 0, max: 1, intervalMs: INTERVAL_MS } },
    );
  }

  /** Whether there is one. */
  get isThere(): boolean {
    return this.made !== undefined;
  }

  start(): void {
    this.actor.start();
    this.watch = setInterval(() => void this.checkPressure(), PRESSURE_INTERVAL_MS).unref();
  }

  /** Ends it; none is made any more. */
  async close(): Promise<void> {
    clearInterval(this.watch);
    this.actor.send({ type: "pool.close" });
    await until(this.actor, () => false);
  }

  take({ vcpus, memoryBytes }: VmShape, template: string): OriginalVm | undefined {
    const { host, made } = this;
    if (made === undefined || this.failures >= GIVE_UP_AFTER) return undefined;
    if (vcpus !== host.defaultVcpus || memoryBytes !== host.defaultMemoryBytes) return undefined;
    if (made.runtime.template === template) return made.original;
    // what templates depend on has changed, a kernel for example
    this.forget();
    this.end(made.runtime);
    return undefined;
  }

  private async make(signal: AbortSignal): Promise<void> {
    const { host } = this;
    const id = `original-${host.randomHex(ID_BYTES)}`;
    // an agent remembers the answers it gave in a session, and would take a fork's first requests for repeated ones
    const runtime = new SandboxRuntime(poolSpec(id), { ...host, session: `${host.session}-${id}` }, true);
    const started = host.now();
    try {
      await runtime.warmUp(signal);
      await rehearse(runtime, this.settings.rehearsalRoot, signal);
      await prepareChild(runtime.liveGuest, this.host, signal);
      const original = await runtime.becomeOriginal(signal);
      signal.throwIfAborted();
      this.made = { runtime, original: { fork: (spec, abort) => this.fork(original, spec, abort) } };
    } catch (error) {
      this.end(runtime);
      // that its template is not there yet is no news
      if (!signal.aborted && !(error instanceof BlazarError && error.code === "IllegalTransition"))
        host.logger.warn({ vm: id, err: error }, "a VM that others are forked from could not be made");
      throw error;
    }
    host.logger.debug({ vm: id, ms: host.now() - started }, "VMs are forked from now on");
    void runtime.vm?.exited.then(() => this.died(runtime));
  }

  private died(runtime: SandboxRuntime): void {
    if (this.made?.runtime !== runtime) return;
    this.forget();
    this.host.logger.warn({ vm: runtime.id }, "the VM that others are forked from has ended by itself");
    this.end(runtime);
  }

  private forget(): void {
    this.made = undefined;
    this.actor.send({ type: "pool.lost", count: 1 });
  }

  /** Where forking does not work, every start would try it, be told so, and be slower. */
  private async fork(original: OriginalVm, spec: VmSpec, signal: AbortSignal | undefined): Promise<Vm> {
    try {
      const vm = await original.fork(spec, signal);
      this.failures = 0;
      return vm;
    } catch (error) {
      if (signal?.aborted !== true && ++this.failures === GIVE_UP_AFTER)
        this.host.logger.error({ err: error }, "VMs cannot be forked here: until a restart they are cloned");
      throw error;
    }
  }

  private async drain(): Promise<void> {
    const { made } = this;
    this.made = undefined;
    await made?.runtime.destroy().catch((error: unknown) => this.notEnded(made.runtime, error));
  }

  private end(runtime: SandboxRuntime): void {
    runtime.destroy().catch((error: unknown) => this.notEnded(runtime, error));
  }

  private notEnded(runtime: SandboxRuntime, error: unknown): void {
    const text = "could not end a VM that others are forked from; the next start undoes the rest";
    this.host.logger.error({ vm: runtime.id, err: error }, text);
  }

  private async checkPressure(): Promise<void> {
    const pressure = await this.settings.pressure();
    if (pressure === undefined || pressure <= this.settings.pressureLimit) return;
    this.actor.send({ type: "pool.pressure" });
  }
}
