/**
 * Where sandboxes get their VMs from: the warm pool, a clone of a template, or a boot.
 *
 * The quickest way that fits is taken; a pod may ask for a certain one by the annotation `io.blazar.boot`
 * (`pool`, `clone`, `cold`), for benchmarks and for finding out. Clones and boots wait for their turn.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { TemplateLease, TemplateStore } from "../../contracts/templates.ts";
import type { Vm, VmShape } from "../../contracts/vm.ts";
import type { OriginalVm } from "../../contracts/vmm.ts";
import type { VmSource } from "../../machines/sandbox.setup.ts";
import type { GuestLink } from "../guest/link.ts";
import type { Journal } from "../resources/journal.ts";
import { Activity } from "./activity.ts";
import { type EndTurn, Turns } from "./turns.ts";

/** The annotation that asks for one source; others are then not taken. */
export const BOOT_ANNOTATION = "io.blazar.boot";

/** A disk in a VM that no container uses yet. */
export interface SpareDisk {
  readonly id: string;
  readonly path: string;
}

/** A VM that is ready for containers and belongs to no sandbox yet. */
export interface WarmVm {
  /** Holds every resource of it. */
  readonly journal: Journal;
  readonly vm: Vm | undefined;
  readonly guest: GuestLink | undefined;
  readonly user: { uid: number; gid: number } | undefined;
  readonly vmDirectory: string;
  readonly shareDirectory: string;
  readonly spare: SpareDisk | undefined;
  /** Everything belongs to somebody else now: empties and removes the journal. */
  surrender(): Promise<void>;
  /** Ends it. */
  destroy(): Promise<void>;
}

/** The pool as a start sees it. */
export interface WarmVms {
  /** A warm VM of this shape, for a start that will follow; it may turn out not to answer. undefined = there is none. */
  reserve(shape: VmShape): WarmVm | undefined;
  /** A warm VM of this shape that answers now; undefined = there is none. */
  take(shape: VmShape): Promise<WarmVm | undefined>;
}

/** The VM that others are forked from, as a start sees it. */
export interface Originals {
  /** One of this shape and of the template with this key; undefined = there is none (yet). */
  take(shape: VmShape, template: string): OriginalVm | undefined;
}

/** What a start was given; {@link Acquired.end} gives the turn back. */
export interface Acquired {
  readonly source: VmSource;
  readonly warm: WarmVm | undefined;
  readonly lease: TemplateLease | undefined;
  /** A VM of the same template that can be forked; without one it is cloned. */
  readonly original?: OriginalVm | undefined;
  readonly endTurn: EndTurn;
}

export interface VmSupplyOptions {
  /** Undefined = no templates. */
  readonly templates: Pick<TemplateStore, "use"> | undefined;
  /** VMs that may be starting at the same time. */
  readonly parallelStarts: number;
  readonly now: () => number;
}

/** A pause between starts is one after this long: a pod's containers follow its sandbox. */
const QUIET_MS = 300;
/** More at once would only lengthen the turns of the event loop: it is one thread that makes them. */
const PARALLEL_PROVISIONS = 2;
/** A guest that takes longer for a container is slow by itself, or hostile: it must not hold up the others. */
const LONGEST_GUEST_TURN_MS = 2_000;
/** A VM that is alive answers within a millisecond; one that is being paged in may take longer. */
const PING_MS = 500;

export class VmSupply {
  readonly turns: Turns;
  /** For what keeps a guest's processors busy: fifty guests that take turns on two cores lose less to each other. */
  readonly guestTurns: Turns;
  /** For the many small steps that the main thread takes for a sandbox: fifty at once end in the same turn of its loop. */
  readonly provisions = new Turns(PARALLEL_PROVISIONS);
  readonly activity: Activity;
  /** Set by the pool, which needs the supply itself. */
  pool: WarmVms | undefined;
  /** Set by whoever keeps one, likewise. */
  originals: Originals | undefined;

  constructor(private readonly options: VmSupplyOptions) {
    this.turns = new Turns(options.parallelStarts);
    this.guestTurns = new Turns(options.parallelStarts, LONGEST_GUEST_TURN_MS);
    this.activity = new Activity(options.now);
  }

  /** A warm VM for a sandbox that is being made; undefined = there is none, or another source is asked for. */
  reserve(shape: VmShape, asked: string | undefined): WarmVm | undefined {
    return mayBeWarm(asked) ? this.pool?.reserve(shape) : undefined;
  }

  /** Waits until nobody starts anything, and nobody has for a moment. Rejects with Cancelled. */
  async pause(signal: AbortSignal, options: PauseOptions = {}): Promise<void> {
    const { patienceMs = Number.POSITIVE_INFINITY, afterFirst = false } = options;
    const { activity, turns } = this;
    const patience = this.options.now() + patienceMs;
    while (!signal.aborted) {
      const { idleMs } = activity;
      const quiet = idleMs >= QUIET_MS && (Number.isFinite(idleMs) || !afterFirst);
      if (turns.queued === 0) {
        if (quiet && turns.running === 0) return;
        if (this.options.now() >= patience) return;
      }
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS / 3).unref());
    }
    throw blazarError("Cancelled", "wait for a pause", "it is not wanted any more");
  }

  /** Decides for a sandbox and waits for its turn. Rejects with Cancelled. */
  async acquire(shape: VmShape, asked: string | undefined, signal: AbortSignal): Promise<Acquired> {
    if (mayBeWarm(asked)) {
      const warm = await this.pool?.take(shape);
      if (warm !== undefined) return { source: "pool", warm, lease: undefined, endTurn: () => undefined };
    }
    const endTurn = await this.turns.take(signal);
    try {
      const lease = asked === "cold" ? undefined : await this.options.templates?.use(shape);
      if (lease === undefined) return { source: "cold", warm: undefined, lease, endTurn };
      const original = this.originals?.take(shape, lease.template.key);
      return { source: "clone", warm: undefined, lease, original, endTurn };
    } catch (error) {
      endTurn();
      throw error;
    }
  }
}

/** When the node counts as doing nothing else. */
export interface PauseOptions {
  /** After this long, in milliseconds, it is enough that nobody waits for a turn; default: never. */
  readonly patienceMs?: number;
  /** Not before something has been started at all. */
  readonly afterFirst?: boolean;
}

/** Whether a warm VM's guest is alive. */
export async function answers({ guest }: WarmVm): Promise<boolean> {
  try {
    await guest?.request("ping", {}, { deadlineMs: PING_MS });
    return guest !== undefined;
  } catch {
    return false;
  }
}

function mayBeWarm(asked: string | undefined): boolean {
  return asked === undefined || asked === "pool";
}
