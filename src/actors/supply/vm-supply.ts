/**
 * Where VMs come from: a warm one, a fork of an original, a clone of a template, or a boot.
 *
 * The quickest way that fits is taken. A pod may ask for a certain one by the annotation `io.blazar.boot` (`pool`, `clone`,
 * `cold`), for benchmarks and for finding out. A fresh VM waits for its turn, a warm one does not.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { PodNetwork } from "../../contracts/pod-network.ts";
import type { TemplateLease, TemplateStore } from "../../contracts/templates.ts";
import type { VmShape } from "../../contracts/vm.ts";
import type { GuestVm } from "../vm/guest-vm.ts";
import type { Pace } from "./pace.ts";
import type { EndTurn } from "./turns.ts";

/** The annotation that asks for one way; others are then not taken. */
export const BOOT_ANNOTATION = "io.blazar.boot";

const WAYS = ["pool", "clone", "cold"];

/** The pod's wish among its annotations; undefined = none. Throws InvalidSpec for one that is no way. */
export function askedWay(annotations: Readonly<Record<string, string>>): string | undefined {
  const way = Object.hasOwn(annotations, BOOT_ANNOTATION) ? annotations[BOOT_ANNOTATION] : undefined;
  if (way === undefined || WAYS.includes(way)) return way;
  throw blazarError(
    "InvalidSpec",
    "read the pod's annotations",
    `"${way}" is not one of ${WAYS.join(", ")}`,
    {
      subject: BOOT_ANNOTATION,
    },
  );
}

/** The pool as a start sees it. */
export interface WarmVms {
  /**
   * Promises a warm VM of this shape to a start that will follow; undefined = there is none. It may not answer. Its network
   * is the one that is asked for if there is such a VM, else it may have any.
   */
  reserve(wanted: WarmWish): GuestVm | undefined;
  /** A warm VM as {@link reserve} chooses it, that answers now; undefined = there is none. */
  take(wanted: WarmWish): Promise<GuestVm | undefined>;
}

export type WarmWish = Pick<WantedVm, "shape" | "network">;

/** A paused VM that others are forked from, as a start sees it. */
export interface Original {
  /** What a VmSpec's source names. */
  readonly vmId: string;
  /** Tells what became of a fork, so that a host where forking fails is not asked for ever. */
  forked(error?: unknown): void;
  /** A fork of it ran and did not come up: it is ended, and another one is made. */
  distrust(): void;
}

export interface Originals {
  /** One of this shape and of the template with this key; undefined = there is none (yet). */
  find(shape: VmShape, template: string): Original | undefined;
}

/** What kind of VM is wanted. */
export interface WantedVm {
  readonly shape: VmShape;
  /** The pod's wish, as {@link askedWay} reads it. */
  readonly asked: string | undefined;
  /** The host's network, if that is what the pod has: a warm VM may be connected to it already. */
  readonly network?: PodNetwork | undefined;
}

/** What a start was given. */
export type Grant =
  | { readonly origin: "warm"; readonly warm: GuestVm }
  | {
      readonly origin: "fork" | "clone" | "boot";
      /** Holds the template, unless the VM boots; released by whoever was given it. */
      readonly lease: TemplateLease | undefined;
      /** Set if the VM is a fork. */
      readonly original: Original | undefined;
      readonly endTurn: EndTurn;
    };

/** Gives VMs to starts. Rejects with Cancelled. */
export interface VmSupply {
  /** `fresh`: a warm VM has failed this start already. */
  acquire(wanted: WantedVm, fresh: boolean, signal: AbortSignal): Promise<Grant>;
}

export interface FreshVmsOptions {
  readonly pace: Pick<Pace, "starts">;
  /** Undefined = no templates. */
  readonly templates: Pick<TemplateStore, "use"> | undefined;
  /** Undefined = nothing is forked. */
  readonly originals: Originals | undefined;
}

/** VMs that are made for whoever asks: what the pool is filled with, and pods for which nothing is warm. */
export class FreshVms implements VmSupply {
  constructor(private readonly options: FreshVmsOptions) {}

  async acquire({ shape, asked }: WantedVm, _fresh: boolean, signal: AbortSignal): Promise<Grant> {
    const { pace, templates, originals } = this.options;
    const endTurn = await pace.starts.take(signal);
    try {
      const lease = asked === "cold" ? undefined : await templates?.use(shape);
      if (lease === undefined) return { origin: "boot", lease, original: undefined, endTurn };
      const original = originals?.find(shape, lease.template.key);
      return { origin: original === undefined ? "clone" : "fork", lease, original, endTurn };
    } catch (error) {
      endTurn();
      throw error;
    }
  }
}

/** VMs for pods: a warm one if there is one, else a fresh one. */
export class PodVms implements VmSupply {
  constructor(
    private readonly pool: WarmVms | undefined,
    private readonly freshVms: VmSupply,
    private readonly demand?: { note(shape: VmShape, hasHostNetwork: boolean): void },
  ) {}

  /** A warm VM for a sandbox that is being made; undefined = there is none, or another way is asked for. */
  reserve(wanted: WantedVm): GuestVm | undefined {
    this.demand?.note(wanted.shape, wanted.network !== undefined);
    return mayBeWarm(wanted.asked) ? this.pool?.reserve(wanted) : undefined;
  }

  async acquire(wanted: WantedVm, fresh: boolean, signal: AbortSignal): Promise<Grant> {
    const warm = fresh || !mayBeWarm(wanted.asked) ? undefined : await this.pool?.take(wanted);
    if (warm !== undefined) return { origin: "warm", warm };
    return this.freshVms.acquire(wanted, fresh, signal);
  }
}

function mayBeWarm(asked: string | undefined): boolean {
  return asked === undefined || asked === "pool";
}

/** VMs that can become originals: clones and nothing else. Throws TemplateNotFound where there is no template yet. */
export class ClonesOnly implements VmSupply {
  constructor(private readonly freshVms: FreshVms) {}

  async acquire(wanted: WantedVm, fresh: boolean, signal: AbortSignal): Promise<Grant> {
    const grant = await this.freshVms.acquire(wanted, fresh, signal);
    if (grant.origin === "clone") return grant;
    if (grant.origin !== "warm") grant.endTurn();
    throw blazarError("TemplateNotFound", "make an original", "its template is not there yet");
  }
}
