/**
 * KVM or emulation, as the operator wants it and the host has it.
 *
 * `auto` emulates where KVM does not work, says once why, and looks again later unless the answer is final: a module may be
 * loaded, a device be given to its group, a host be less busy. With `kvm`, a KVM that does not work is an error.
 */
import { blazarError } from "../../../contracts/errors.ts";
import { KVM_UNWANTED, type KvmFinding } from "../../../contracts/kvm.ts";
import type { Logger } from "../../../contracts/logger.ts";
import type { Acceleration } from "../../../contracts/vm.ts";
import { isFinal } from "./kvm-search.ts";

/** What the operator asks for. */
export type AccelerationChoice = "auto" | Acceleration;

const SLOW = "VMs are emulated in software (TCG), which is several times slower";
/** From one look at KVM to the next: each pause is twice the one before. */
const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 16 * 60_000;

export interface AccelerationOptions {
  readonly choice: AccelerationChoice;
  readonly logger: Logger;
  /** Looks for KVM now; never rejects (kvm-search.ts). */
  readonly search: () => Promise<KvmFinding>;
  /** KVM works now, and did not before. */
  readonly onWorks: () => void;
}

export class AccelerationSearch {
  private found: KvmFinding | undefined;
  private pauseMs = FIRST_PAUSE_MS;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: AccelerationOptions) {}

  /** What was found last; undefined before the first look has ended. */
  get finding(): KvmFinding | undefined {
    return this.found;
  }

  /** Looks, and goes on looking. Throws VmmFailed if KVM is insisted on and does not work. */
  async choose(): Promise<Acceleration> {
    const { choice, search } = this.options;
    const found = choice === "tcg" ? KVM_UNWANTED : await search();
    const isNews = this.found?.reason !== found.reason;
    this.found = found;
    if (found.state === "works") return "kvm";
    if (choice === "kvm")
      throw blazarError("VmmFailed", "use KVM", found.reason, {
        remedy: `${found.remedy}; or set vmm.acceleration to "auto" or "tcg" in the configuration`,
      });
    if (found.state !== "unwanted") this.goOn(found, isNews);
    return "tcg";
  }

  private goOn({ state, reason, remedy }: KvmFinding, isNews: boolean): void {
    const { logger } = this.options;
    const again = isFinal({ state, reason, remedy }) ? {} : { againInSeconds: this.pauseMs / 1000 };
    if (isNews) logger.warn({ state, reason, remedy, ...again }, `KVM cannot be used: ${SLOW}`);
    if (isFinal({ state, reason, remedy })) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.lookAgain(), this.pauseMs);
    // it keeps nobody alive
    this.timer.unref();
    this.pauseMs = Math.min(this.pauseMs * 2, LONGEST_PAUSE_MS);
  }

  private async lookAgain(): Promise<void> {
    if ((await this.choose()) !== "kvm") return;
    this.options.logger.info({}, "KVM works now: VMs that are made from now on use it");
    this.options.onWorks();
  }
}
