/**
 * What a sandbox has before it has a VM: a head start, then what its start was given, and its turn.
 *
 * A warm VM that is not wanted after all is ended here. What could not be ended is tried again when the claim is given up
 * once more.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { TemplateLease } from "../../contracts/templates.ts";
import type { VmShape } from "../../contracts/vm.ts";
import type { OriginalVm } from "../../contracts/vmm.ts";
import type { GuestSetUp } from "../guest/setup.ts";
import { HeadStart, type SetUp } from "./head-start.ts";
import type { Acquired, VmSupply, WarmVm } from "./vm-supply.ts";

/** What kind of VM is wanted. */
export interface WantedVm {
  readonly shape: VmShape;
  /** The source that the pod asks for; see vm-supply.ts. */
  readonly boot: string | undefined;
}

export class VmClaim {
  private head: HeadStart | undefined;
  private given: Acquired | undefined;
  private readonly unwanted = new Set<WarmVm>();

  constructor(
    private readonly id: string,
    private readonly supply: VmSupply,
    private readonly logger: Logger,
  ) {}

  /** A VM that can be forked instead of cloning the template. */
  get original(): OriginalVm | undefined {
    return this.given?.original;
  }

  /** The set-up of a head start's guest; undefined without one. */
  get setUp(): Promise<GuestSetUp> | undefined {
    return this.head?.ready;
  }

  /** The move of the head start's VM into the sandbox's control groups; undefined if it has not begun. */
  get entered(): Promise<void> | undefined {
    return this.head?.entered;
  }

  /** Reserves a warm VM if there is one, and has its guest set up from now on. */
  begin({ shape, boot }: WantedVm, setUp: SetUp, now: () => number): void {
    const warm = this.supply.reserve(shape, boot);
    if (warm?.guest !== undefined) this.head = new HeadStart(warm, warm.guest, setUp, now);
  }

  /** The sandbox's control groups are there. */
  enter(move: (pid: number) => Promise<void>): void {
    this.head?.enter(move);
  }

  /** Decides where the VM comes from, and waits for a turn unless it is warm. Rejects with Cancelled. */
  async acquire({ shape, boot }: WantedVm, signal: AbortSignal): Promise<Acquired> {
    const warm = await this.reserved();
    const acquired: Acquired =
      warm === undefined
        ? await this.supply.acquire(shape, boot, signal)
        : { source: "pool", warm, lease: undefined, endTurn: () => undefined };
    this.given = acquired;
    if (signal.aborted) await this.giveUp();
    signal.throwIfAborted();
    return acquired;
  }

  /** The warm VM that was acquired. Throws IllegalTransition if none was. */
  get warm(): WarmVm {
    const warm = this.given?.warm;
    if (warm === undefined) throw this.notAcquired("adopt a warm VM");
    return warm;
  }

  /** The warm VM is the sandbox's. */
  adopted(): void {
    this.given = undefined;
  }

  /** The lease on a template. Throws IllegalTransition if none was acquired. */
  get lease(): TemplateLease {
    const lease = this.given?.lease;
    if (lease === undefined) throw this.notAcquired("clone a template");
    return lease;
  }

  /** Waits for the set-up of the head start's guest, if there is one. Throws what that throws, Cancelled by the signal. */
  async headStarted(signal: AbortSignal): Promise<void> {
    const { head } = this;
    if (head === undefined) return;
    const cancel = () => head.cancel();
    if (signal.aborted) cancel();
    signal.addEventListener("abort", cancel, { once: true });
    try {
      await head.ready;
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  /** Whatever the head start's guest was told, it is not the sandbox's. */
  forgetHeadStart(): void {
    this.head = undefined;
  }

  /** The start is over, one way or the other: the next one may have its turn. */
  endTurn(): void {
    this.given?.endTurn();
    // a warm VM that was not adopted stays until it is ended
    if (this.given === undefined) this.head = undefined;
  }

  /** Gives back what was acquired and not used. Throws if a warm VM could not be ended; may be called again. */
  async giveUp(): Promise<void> {
    const { given, head } = this;
    this.given = undefined;
    this.head = undefined;
    given?.lease?.release();
    given?.endTurn();
    head?.cancel();
    await head?.entered?.catch(() => undefined);
    await this.discard(given?.warm ?? head?.warm);
  }

  /** The warm VM of the head start, unless that came to nothing. */
  private async reserved(): Promise<WarmVm | undefined> {
    const { head } = this;
    if (head === undefined || (await head.usable())) return head?.warm;
    const err = await head.ready.then(
      () => undefined,
      (error: unknown) => error,
    );
    this.logger.warn({ err }, "a warm VM could not be set up for the sandbox and is ended");
    this.head = undefined;
    await head.entered?.catch(() => undefined);
    // what is left of it is tried again when the sandbox goes
    await this.discard(head.warm).catch((error: unknown) =>
      this.logger.error({ err: error }, "could not end a warm VM cleanly"),
    );
    return undefined;
  }

  private async discard(warm?: WarmVm): Promise<void> {
    if (warm !== undefined) this.unwanted.add(warm);
    for (const each of this.unwanted) {
      await each.destroy();
      this.unwanted.delete(each);
    }
  }

  private notAcquired(operation: string): BlazarError {
    return blazarError("IllegalTransition", operation, "none was acquired", { subject: this.id });
  }
}
