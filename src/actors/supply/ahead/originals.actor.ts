/**
 * The original that other VMs are forked from: a clone, set up and rehearsed like the pool's, then paused for good.
 *
 * There is at most one, of the size that pods ask for, made in a pause after the first start. Without one, VMs are clones. It has a
 * journal of its own, ends under memory pressure and with the daemon, and is made anew if it dies. Chart: `pool`.
 */
import { type Actor, createActor, fromPromise } from "xstate";
import { BlazarError, blazarError } from "../../../contracts/errors.ts";
import type { Logger } from "../../../contracts/logger.ts";
import { isSameShape, type VmShape } from "../../../contracts/vm.ts";
import type { VmForks } from "../../../contracts/vm-forks.ts";
import { UnderWay } from "../../../lib/under-way.ts";
import { type PoolInput, poolMachine } from "../../../machines/pool.machine.ts";
import { prepareChild } from "../../guest/preparation.ts";
import { until } from "../../until.ts";
import type { GuestVm } from "../../vm/guest-vm.ts";
import type { Pace } from "../pace.ts";
import type { Original, Originals } from "../vm-supply.ts";
import type { Endings } from "./endings.ts";
import { PressureWatch } from "./pressure-watch.ts";
import { type RehearsalPorts, rehearse } from "./rehearsal.ts";
import type { ShapeDemand } from "./shape-demand.ts";
import type { VmMaker } from "./vm-maker.ts";
import { type WarmUpPorts, warmUp } from "./warm-up.ts";

const INTERVAL_MS = 250;
const ID_BYTES = 5;
/** Its template is not there yet; VMs are not emulated any more, because KVM works meanwhile. */
const NO_NEWS = ["TemplateNotFound", "Unimplemented"];
/** Forks that failed in a row. */
const GIVE_UP_AFTER = 3;

export interface OriginalSettings {
  /** What it is like before a pod has asked for another size; only VMs of its size are forked. */
  readonly shape: VmShape;
  /** A root with a static `/bin/true`, for the rehearsal. */
  readonly rehearsalRoot: string;
  /** As the pool's. */
  readonly pressureLimit: number;
  readonly pressure: () => Promise<number | undefined>;
}

export interface OriginalsPorts extends RehearsalPorts, WarmUpPorts {
  readonly deadlines: RehearsalPorts["deadlines"] & WarmUpPorts["deadlines"] & PoolInput["deadlines"];
  readonly forks: Pick<VmForks, "possible" | "completeOriginal">;
  /**
   * Makes clones that can become originals, each under a session of its own: an agent remembers the answers that it gave
   * in a session, and would take a fork's first requests for repeated ones.
   */
  readonly makerFor: (id: string) => VmMaker;
  /** Ends originals that are not wanted any more, the makers' failures included. */
  readonly endings: Endings;
  /** What pods have asked for. */
  readonly demand: Pick<ShapeDemand, "favourite">;
  readonly pace: Pick<Pace, "guests" | "pause">;
  readonly logger: Logger;
  readonly now: () => number;
  readonly randomHex: (bytes: number) => string;
}

export class OneOriginal implements Originals {
  private made: GuestVm | undefined;
  private failures = 0;
  private wanted = false;
  /** Grows when one that is made meanwhile will be of no use. */
  private generation = 0;
  private readonly work = new UnderWay();
  private readonly actor: Actor<typeof poolMachine>;
  private readonly watch: PressureWatch;

  constructor(
    private readonly ports: OriginalsPorts,
    private readonly settings: OriginalSettings,
  ) {
    this.watch = new PressureWatch(settings, () => this.actor.send({ type: "pool.pressure" }));
    this.actor = createActor(
      poolMachine.provide({
        actors: {
          // an idle daemon that never started anything has none
          awaitPause: fromPromise<void, { readonly urgent: boolean }>(({ signal }) =>
            ports.pace.pause(signal, { afterFirst: true }),
          ),
          fill: fromPromise<void, undefined>(({ signal }) => this.work.track(() => this.make(signal))),
          drain: fromPromise<void, undefined>(() => this.drain()),
        },
      }),
      { input: { min: 0, max: 1, intervalMs: INTERVAL_MS, deadlines: ports.deadlines } },
    );
  }

  /** VMs can be forked on this host, and shall be. */
  get isWanted(): boolean {
    return this.wanted;
  }

  /** Whether there is one. */
  get isThere(): boolean {
    return this.made !== undefined;
  }

  /** Makes one in the first pause, where VMs can be forked at all. */
  async start(): Promise<void> {
    if (!(await this.ports.forks.possible())) return;
    this.wanted = true;
    this.actor.start();
    this.watch.start();
  }

  /** Ends it; none is made any more. */
  async close(): Promise<void> {
    this.watch.stop();
    if (!this.wanted) return;
    this.actor.send({ type: "pool.close" });
    await until(this.actor, () => false);
  }

  /** The keeper that could have it fork has died. */
  renew(): void {
    this.generation++;
    if (this.made !== undefined) this.replace(this.made);
  }

  find(shape: VmShape, template: string): Original | undefined {
    const { made } = this;
    if (made === undefined || this.failures >= GIVE_UP_AFTER) return undefined;
    if (!isSameShape(made.shape, shape)) {
      if (!isSameShape(made.shape, this.ports.demand.favourite(made.shape))) this.replace(made);
      return undefined;
    }
    if (made.template === template) {
      const distrust = () => this.made === made && this.replace(made);
      return { vmId: made.id, forked: (error) => this.forked(error), distrust };
    }
    // what templates depend on has changed, a kernel for example
    this.replace(made);
    return undefined;
  }

  private replace(made: GuestVm): void {
    this.forget();
    void this.end(made);
  }

  private async make(signal: AbortSignal): Promise<void> {
    const { ports, generation } = this;
    const id = `original-${ports.randomHex(ID_BYTES)}`;
    const started = ports.now();
    await ports.endings.retry();
    const made = await this.makeOne(id, signal).catch((error: unknown) => {
      const expected = error instanceof BlazarError && NO_NEWS.includes(error.code);
      if (!signal.aborted && !expected)
        ports.logger.warn({ vm: id, err: error }, "an original that VMs are forked from could not be made");
      throw error;
    });
    if (generation !== this.generation) {
      void this.end(made);
      throw blazarError("KeeperLost", "make an original", "the keeper has died meanwhile", { subject: id });
    }
    this.made = made;
    ports.logger.debug({ vm: id, ms: ports.now() - started }, "VMs are forked from now on");
    void made.vm.exited.then(() => this.died(made));
  }

  private async makeOne(id: string, signal: AbortSignal): Promise<GuestVm> {
    const { ports, settings } = this;
    const made = await ports.makerFor(id).make(id, ports.demand.favourite(), signal);
    const steps = async () => {
      await rehearse(made, settings.rehearsalRoot, ports, signal);
      await prepareChild(made.liveLink, ports, signal);
      await made.clock;
      // its forks have links of their own
      made.link?.close();
      await ports.forks.completeOriginal(made.vm, signal);
    };
    await warmUp(made, steps, ports, signal);
    return made;
  }

  private died(vm: GuestVm): void {
    if (this.made !== vm) return;
    this.forget();
    this.ports.logger.warn({ vm: vm.id }, "the original that VMs are forked from has ended by itself");
    void this.end(vm);
  }

  private forget(): void {
    this.made = undefined;
    this.actor.send({ type: "pool.lost", count: 1 });
  }

  /** Where forking does not work, every start would try it, be told so, and be slower. */
  private forked(error: unknown): void {
    if (error === undefined) this.failures = 0;
    else if (++this.failures === GIVE_UP_AFTER)
      this.ports.logger.error({ err: error }, "VMs cannot be forked here: until a restart they are cloned");
  }

  private async drain(): Promise<void> {
    await this.endMade();
    // one that was being made may be there meanwhile
    await this.work.settled();
    await this.endMade();
    await this.ports.endings.settled();
  }

  private async endMade(): Promise<void> {
    const { made } = this;
    this.made = undefined;
    if (made !== undefined) await this.end(made);
  }

  private end(vm: GuestVm): Promise<void> {
    return this.ports.endings.begin(vm.id, () => vm.destroy());
  }
}
