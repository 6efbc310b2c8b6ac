/**
 * What a start has before it has a VM: a reserved warm one, then what it was granted, and its turn.
 *
 * A warm VM that is not wanted after all is ended here. One that could not be ended is tried again when the claim is
 * released once more.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import { throwIfAborted } from "../../lib/async.ts";
import type { GuestVm } from "../vm/guest-vm.ts";
import { Reservation, type SetUp } from "./reservation.ts";
import type { Grant, VmSupply, WantedVm } from "./vm-supply.ts";

type FreshGrant = Exclude<Grant, { origin: "warm" }>;

export class Claim {
  private reserved: Reservation | undefined;
  private granted: Grant | undefined;
  private readonly unwanted = new Set<GuestVm>();

  constructor(
    private readonly id: string,
    private readonly wanted: WantedVm,
    private readonly supply: VmSupply,
    private readonly logger: Logger,
  ) {}

  /** The reserved VM, if there is one and it was not given up. */
  get reservation(): Reservation | undefined {
    return this.reserved;
  }

  /** Has a warm VM's guest set up from now on. */
  reserve(warm: GuestVm, setUp: SetUp, now: () => number): void {
    if (warm.link === undefined) this.unwanted.add(warm);
    else this.reserved = new Reservation(warm, warm.link, setUp, now);
  }

  /** Decides where the VM comes from, and waits for a turn unless it is warm. Rejects with Cancelled. */
  async acquire(fresh: boolean, signal: AbortSignal): Promise<Grant> {
    const warm = fresh ? undefined : await this.usableReservation();
    const granted: Grant =
      warm === undefined ? await this.supply.acquire(this.wanted, fresh, signal) : { origin: "warm", warm };
    this.granted = granted;
    if (signal.aborted) await this.release();
    throwIfAborted(signal, { operation: "acquire a VM", subject: this.id });
    return granted;
  }

  /** The warm VM that was granted. Throws IllegalTransition if none was. */
  get warm(): GuestVm {
    if (this.granted?.origin === "warm") return this.granted.warm;
    throw this.notGranted("adopt a warm VM");
  }

  /** The warm VM has an owner. */
  adopted(): void {
    this.granted = undefined;
  }

  /** What was granted for a fresh VM. Throws IllegalTransition if nothing was. */
  get fresh(): FreshGrant {
    if (this.granted !== undefined && this.granted.origin !== "warm") return this.granted;
    throw this.notGranted("start a VM");
  }

  /** What the reserved VM's guest was told is no more the sandbox's business. */
  forgetReservation(): void {
    this.reserved = undefined;
  }

  /** The start is over, one way or the other: the next one may have its turn. */
  endTurn(): void {
    const { granted } = this;
    if (granted === undefined) this.reserved = undefined;
    // a warm VM that was not adopted stays until it is ended
    if (granted === undefined || granted.origin === "warm") return;
    granted.lease?.release();
    granted.endTurn();
    this.granted = undefined;
  }

  /** Gives back what was granted and not used. Throws if a warm VM could not be ended; may be called again. */
  async release(): Promise<void> {
    const { granted, reserved } = this;
    this.endTurn();
    this.granted = undefined;
    this.reserved = undefined;
    reserved?.cancel();
    await reserved?.entered?.catch(() => undefined);
    await this.discard(granted?.origin === "warm" ? granted.warm : reserved?.warm);
  }

  /** The reserved VM, unless it came to nothing. */
  private async usableReservation(): Promise<GuestVm | undefined> {
    const { reserved } = this;
    if (reserved === undefined || (await reserved.usable())) return reserved?.warm;
    const err = await reserved.ready.then(
      () => undefined,
      (error: unknown) => error,
    );
    this.logger.warn({ err }, "a reserved VM could not be set up for the sandbox and is ended");
    this.reserved = undefined;
    await reserved.entered?.catch(() => undefined);
    // what is left of it is tried again when the sandbox goes
    await this.discard(reserved.warm).catch((error: unknown) =>
      this.logger.error({ err: error }, "could not end a warm VM cleanly"),
    );
    return undefined;
  }

  private async discard(warm?: GuestVm): Promise<void> {
    if (warm !== undefined) this.unwanted.add(warm);
    for (const each of this.unwanted) {
      await each.destroy();
      this.unwanted.delete(each);
    }
  }

  private notGranted(operation: string) {
    return blazarError("IllegalTransition", operation, "none was granted", { subject: this.id });
  }
}
