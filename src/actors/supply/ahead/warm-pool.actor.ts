/**
 * The warm pool: VMs that are made, set up and rehearsed before anybody asks for them. Chart: `pool`.
 *
 * A VM counts as warm only after a throw-away container has gone the whole path in it (mount, overlay, clone, pivot, exec,
 * unmount): under emulation translated code is not part of a template. Each has a journal of its own. One that does not
 * answer any more is never handed out.
 */
import { type Actor, createActor, fromPromise } from "xstate";
import { BlazarError, blazarError } from "../../../contracts/errors.ts";
import type { Logger } from "../../../contracts/logger.ts";
import { isSameShape, type VmShape } from "../../../contracts/vm.ts";
import { UnderWay } from "../../../lib/under-way.ts";
import { type PoolInput, poolMachine } from "../../../machines/pool.machine.ts";
import { prepareChild } from "../../guest/preparation.ts";
import { until } from "../../until.ts";
import type { GuestVm } from "../../vm/guest-vm.ts";
import { answers } from "../liveness.ts";
import type { Pace } from "../pace.ts";
import type { WarmVms, WarmWish } from "../vm-supply.ts";
import type { Endings } from "./endings.ts";
import type { LastImage, LastImagePorts } from "./last-image.ts";
import { isConnectedTo, NetworksAheadOfPods, type NetworksAheadPorts } from "./network-ahead.ts";
import { PressureWatch } from "./pressure-watch.ts";
import { type RehearsalPorts, rehearse } from "./rehearsal.ts";
import type { ShapeDemand } from "./shape-demand.ts";
import type { VmMaker } from "./vm-maker.ts";
import { type WarmUpPorts, warmUp } from "./warm-up.ts";

export interface PoolSettings {
  readonly min: number;
  readonly max: number;
  /** Bytes of guest memory that warm VMs may have in all. */
  readonly memoryLimit: number;
  /** What each is like before a pod has asked for another size. */
  readonly shape: VmShape;
  /** A root with a static `/bin/true`, for the rehearsal. */
  readonly rehearsalRoot: string;
  /** Share of the last ten seconds (PSI, some avg10, in percent) in which memory may be waited for. */
  readonly pressureLimit: number;
  /** Present memory pressure in percent; undefined where the kernel does not tell. */
  readonly pressure: () => Promise<number | undefined>;
}

export interface WarmPoolPorts extends RehearsalPorts, WarmUpPorts, LastImagePorts, NetworksAheadPorts {
  readonly deadlines: RehearsalPorts["deadlines"] & WarmUpPorts["deadlines"] & PoolInput["deadlines"];
  readonly maker: VmMaker;
  /** What a warm VM has in a slot. */
  readonly lastImage: LastImage;
  /** What pods have asked for. */
  readonly demand: ShapeDemand;
  /** Ends VMs that nobody waits for, the maker's failures included. */
  readonly endings: Endings;
  readonly pace: Pick<Pace, "guests" | "pause">;
  readonly logger: Logger;
  readonly now: () => number;
  readonly randomHex: (bytes: number) => string;
}

/** Under sustained load there is no pause: `min` is made up for after this long nevertheless. */
const PATIENCE_MS = 3_000;
const INTERVAL_MS = 250;
const ID_BYTES = 5;

export class WarmPool implements WarmVms {
  private readonly warm: GuestVm[] = [];
  private readonly fills = new UnderWay();
  private readonly actor: Actor<typeof poolMachine>;
  private readonly watch: PressureWatch;
  private readonly max: number;
  private readonly networks: NetworksAheadOfPods;
  private started = false;
  /** Grows when nothing that is made meanwhile will be of use. */
  private generation = 0;

  constructor(
    private readonly ports: WarmPoolPorts,
    private readonly settings: PoolSettings,
  ) {
    const fitting = Math.floor(settings.memoryLimit / settings.shape.memoryBytes);
    this.max = Math.min(settings.max, fitting);
    this.networks = new NetworksAheadOfPods(ports);
    const { max } = this;
    this.watch = new PressureWatch(settings, () => this.relieve());
    this.actor = createActor(
      poolMachine.provide({
        actors: {
          awaitPause: fromPromise<void, { readonly urgent: boolean }>(({ input, signal }) =>
            ports.pace.pause(signal, input.urgent ? { patienceMs: PATIENCE_MS } : {}),
          ),
          fill: fromPromise<void, undefined>(({ signal }) => this.fills.track(() => this.fill(signal))),
          drain: fromPromise<void, undefined>(() => this.drain()),
        },
      }),
      {
        input: {
          ...{ min: Math.min(settings.min, max), max },
          ...{ intervalMs: INTERVAL_MS, deadlines: ports.deadlines },
        },
      },
    );
  }

  get size(): number {
    return this.warm.length;
  }

  /** As many as configured are warm. */
  get isFull(): boolean {
    return this.warm.length >= this.max;
  }

  start(): void {
    this.started = true;
    this.actor.start();
    if (this.max > 0) this.watch.start();
  }

  /** Ends all warm VMs; none is made any more. A pool that was never started has none. */
  async close(): Promise<void> {
    this.watch.stop();
    if (!this.started) return;
    this.actor.send({ type: "pool.close" });
    await until(this.actor, () => false);
  }

  /** Their taps and more were in a keeper that has died. */
  renew(): void {
    this.generation++;
    for (let vm = this.remove(0); vm !== undefined; vm = this.remove(0)) void this.end(vm);
  }

  reserve({ shape, network }: WarmWish): GuestVm | undefined {
    const fitting = this.warm.filter((vm) => isSameShape(vm.shape, shape));
    const best = fitting.find((vm) => isConnectedTo(vm, network)) ?? fitting[0];
    const index = best === undefined ? -1 : this.warm.indexOf(best);
    if (index >= 0) return this.remove(index);
    this.makeWay();
    return undefined;
  }

  async take(wanted: WarmWish): Promise<GuestVm | undefined> {
    for (let next = this.reserve(wanted); next !== undefined; next = this.reserve(wanted)) {
      if (await answers(next)) return next;
      this.ports.logger.warn({ vm: next.id }, "a warm VM did not answer and was ended");
      void this.end(next);
    }
    return undefined;
  }

  /** Makes one warm VM. What fails on the way leaves nothing. */
  private async fill(signal: AbortSignal): Promise<void> {
    const { ports, generation } = this;
    const id = `pool-${ports.randomHex(ID_BYTES)}`;
    const started = ports.now();
    await ports.endings.retry();
    const made = await this.make(id, signal).catch((error: unknown) => {
      const isFull = error instanceof BlazarError && error.code === "ResourceExhausted";
      if (!signal.aborted && !isFull)
        ports.logger.warn({ vm: id, err: error }, "a warm VM could not be made");
      throw error;
    });
    if (generation !== this.generation) {
      void this.end(made);
      throw blazarError("KeeperLost", "make a warm VM", "the keeper has died meanwhile", { subject: id });
    }
    this.warm.push(made);
    ports.logger.debug({ vm: id, ms: ports.now() - started, size: this.warm.length }, "a VM is warm");
    // by its id: the VM may live for years as a pod's, and would keep its warm handles with it
    void made.vm.exited.then(() => this.died(id));
  }

  private async make(id: string, signal: AbortSignal): Promise<GuestVm> {
    const { ports, settings } = this;
    const made = await ports.maker.make(id, this.nextShape(), signal);
    const steps = async () => {
      await rehearse(made, settings.rehearsalRoot, ports, signal);
      await made.plugPreparedDisk(ports, signal);
      await ports.lastImage.prepareIn(made, ports, signal);
      if (this.wantsNetwork()) await this.networks.connect(made, signal);
      await prepareChild(made.liveLink, ports, signal);
    };
    await warmUp(made, steps, ports, signal);
    return made;
  }

  /** Another one that has the host's network is wanted. */
  private wantsNetwork(): boolean {
    const present = this.warm.filter(({ networkAhead }) => networkAhead !== undefined).length;
    return this.ports.demand.withHostNetwork(this.max) > present;
  }

  private get shapes(): VmShape[] {
    return this.warm.map(({ shape }) => shape);
  }

  /** What the next one shall be like. Throws ResourceExhausted if `memory_limit` has no room for it. */
  private nextShape(): VmShape {
    const shape = this.ports.demand.next(this.shapes, this.max);
    const taken = this.shapes.reduce((sum, each) => sum + each.memoryBytes, 0);
    if (taken + shape.memoryBytes <= this.settings.memoryLimit) return shape;
    const reason = `${shape.memoryBytes} bytes more do not fit into pool.memory_limit`;
    throw blazarError("ResourceExhausted", "make a warm VM", reason);
  }

  /** A pod has found none of its size: if the pool is full, one that is not asked for any more is ended. */
  private makeWay(): void {
    const index = this.ports.demand.surplus(this.shapes, this.max);
    const vm = this.isFull && index >= 0 ? this.remove(index) : undefined;
    if (vm === undefined) return;
    this.ports.logger.debug({ vm: vm.id, shape: vm.shape }, "a warm VM makes way for one of another size");
    void this.end(vm);
  }

  private remove(index: number): GuestVm | undefined {
    const [vm] = this.warm.splice(index, 1);
    if (vm !== undefined) this.actor.send({ type: "pool.lost", count: 1 });
    return vm;
  }

  private died(id: string): void {
    const index = this.warm.findIndex((vm) => vm.id === id);
    const vm = index < 0 ? undefined : this.remove(index);
    if (vm === undefined) return;
    this.ports.logger.warn({ vm: id }, "a warm VM has ended by itself");
    void this.end(vm);
  }

  private async drain(): Promise<void> {
    await this.endAll();
    // one that was being made may have become warm meanwhile
    await this.fills.settled();
    await this.endAll();
    await this.ports.endings.settled();
  }

  private async endAll(): Promise<void> {
    await Promise.all(this.warm.splice(0).map((vm) => this.end(vm)));
  }

  /** Ends a VM that nobody waits for. */
  private end(vm: GuestVm): Promise<void> {
    return this.ports.endings.begin(vm.id, () => vm.destroy());
  }

  private relieve(): void {
    this.ports.logger.warn({}, "memory is short: the pool is drained");
    this.actor.send({ type: "pool.pressure" });
  }
}
