/**
 * The warm pool: VMs that are cloned (or booted), set up and rehearsed before anybody asks for them.
 *
 * A VM counts as warm only after a throw-away container has gone the whole path in it (mount, overlay, clone, pivot, exec,
 * unmount), because under emulation translated code is not part of a template. Each has a journal of its own. One that
 * does not answer any more is never handed out.
 */
import { type Actor, createActor, fromPromise } from "xstate";
import type { VmShape } from "../../contracts/vm.ts";
import { type PoolActor, poolMachine } from "../../machines/pool.machine.ts";
import { prepareChild } from "../guest/spare-child.ts";
import type { Host } from "../host.ts";
import { SandboxRuntime } from "../sandbox/sandbox.actor.ts";
import { until } from "../until.ts";
import { rehearse } from "./rehearsal.ts";
import { answers, type WarmVms } from "./vm-supply.ts";

export interface PoolSettings {
  readonly min: number;
  readonly max: number;
  /** Bytes of guest memory that warm VMs may have in all. */
  readonly memoryLimit: number;
  /** A root with a static `/bin/true`, for the rehearsal. */
  readonly rehearsalRoot: string;
  /** Share of the last ten seconds (PSI, some avg10, in percent) in which memory may be waited for. */
  readonly pressureLimit: number;
  /** Present memory pressure in percent; undefined where the kernel does not tell. */
  readonly pressure: () => Promise<number | undefined>;
}

/** Under sustained load there is no pause: `min` is made up for after this long nevertheless. */
const PATIENCE_MS = 3_000;
const INTERVAL_MS = 250;
const PRESSURE_INTERVAL_MS = 5_000;
const ID_BYTES = 5;

export class Pool implements WarmVms {
  private readonly warm: SandboxRuntime[] = [];
  private readonly actor: Actor<typeof poolMachine>;
  private watch: NodeJS.Timeout | undefined;

  constructor(
    private readonly host: Host,
    private readonly settings: PoolSettings,
  ) {
    const fitting = Math.floor(settings.memoryLimit / host.defaultMemoryBytes);
    const max = Math.min(settings.max, fitting);
    this.actor = createActor(
      poolMachine.provide({
        actors: {
          awaitPause: fromPromise<void, { readonly urgent: boolean }>(({ input, signal }) =>
            this.host.supply.pause(signal, input.urgent ? { patienceMs: PATIENCE_MS } : {}),
          ),
          fill: fromPromise<void, undefined>(({ signal }) => this.fill(signal)),
          drain: fromPromise<void, undefined>(() => this.drain()),
        },
      }),
      { input: { min: Math.min(settings.min, max), max, intervalMs: INTERVAL_MS } },
    );
  }

  /** For those who watch: state and size. */
  get chart(): PoolActor {
    return this.actor;
  }

  get size(): number {
    return this.warm.length;
  }

  /** As many as configured are warm. */
  get isFull(): boolean {
    return this.warm.length >= this.actor.getSnapshot().context.max;
  }

  start(): void {
    this.actor.start();
    if (this.actor.getSnapshot().context.max === 0) return;
    this.watch = setInterval(() => void this.checkPressure(), PRESSURE_INTERVAL_MS).unref();
  }

  /** Ends all warm VMs; none is made any more. */
  async close(): Promise<void> {
    clearInterval(this.watch);
    this.actor.send({ type: "pool.close" });
    await until(this.actor, () => false);
  }

  reserve(shape: VmShape): SandboxRuntime | undefined {
    const index = this.warm.findIndex((runtime) => fits(runtime, shape));
    if (index < 0) return undefined;
    this.actor.send({ type: "pool.lost", count: 1 });
    return this.warm.splice(index, 1)[0];
  }

  async take(shape: VmShape): Promise<SandboxRuntime | undefined> {
    for (let next = this.reserve(shape); next !== undefined; next = this.reserve(shape)) {
      if (await answers(next)) return next;
      this.host.logger.warn({ vm: next.id }, "a warm VM did not answer and was ended");
      this.end(next);
    }
    return undefined;
  }

  /** Makes one warm VM. What fails on the way leaves nothing. */
  private async fill(signal: AbortSignal): Promise<void> {
    const runtime = new SandboxRuntime(poolSpec(`pool-${this.host.randomHex(ID_BYTES)}`), this.host);
    const started = this.host.now();
    try {
      await runtime.warmUp(signal);
      await rehearse(runtime, this.settings.rehearsalRoot, signal);
      await runtime.plugSpare(signal);
      await prepareChild(runtime.liveGuest, this.host, signal);
      signal.throwIfAborted();
    } catch (error) {
      this.end(runtime);
      if (!signal.aborted)
        this.host.logger.warn({ vm: runtime.id, err: error }, "a warm VM could not be made");
      throw error;
    }
    this.warm.push(runtime);
    this.host.logger.debug(
      { vm: runtime.id, ms: this.host.now() - started, size: this.warm.length },
      "a VM is warm",
    );
    const { id, vm } = runtime;
    // by its id: the VM may live for years as a pod's, and would keep its warm handles with it
    void vm?.exited.then(() => this.died(id));
  }

  private died(id: string): void {
    const index = this.warm.findIndex((runtime) => runtime.id === id);
    const [runtime] = index < 0 ? [] : this.warm.splice(index, 1);
    if (runtime === undefined) return;
    this.actor.send({ type: "pool.lost", count: 1 });
    this.host.logger.warn({ vm: id }, "a warm VM has ended by itself");
    this.end(runtime);
  }

  private async drain(): Promise<void> {
    const all = this.warm.splice(0);
    await Promise.allSettled(all.map((runtime) => runtime.destroy()));
  }

  /** Ends a VM that nobody waits for. */
  private end(runtime: SandboxRuntime): void {
    runtime.destroy().catch((error: unknown) => {
      this.host.logger.error(
        { vm: runtime.id, err: error },
        "could not end a warm VM cleanly; the next start undoes the rest",
      );
    });
  }

  private async checkPressure(): Promise<void> {
    const pressure = await this.settings.pressure();
    if (pressure === undefined || pressure <= this.settings.pressureLimit) return;
    this.host.logger.warn({ pressure }, "memory is short: the pool is drained");
    this.actor.send({ type: "pool.pressure" });
  }
}

function fits({ shape }: SandboxRuntime, { vcpus, memoryBytes }: VmShape): boolean {
  return shape.vcpus === vcpus && shape.memoryBytes === memoryBytes;
}

/** A sandbox's spec for a VM that has no sandbox yet. */
export function poolSpec(id: string) {
  return {
    id,
    hostname: "",
    netnsPath: "",
    dns: { servers: [], searches: [], options: [] },
    // so that the shared PID namespace is there, and rehearsed; whoever wants none is not disturbed by it
    pidMode: "pod" as const,
    cgroupParent: "",
    name: id,
    namespace: "",
    uid: "",
    attempt: 0,
    labels: {},
    annotations: {},
  };
}
