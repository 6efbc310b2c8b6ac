/**
 * Connects one VM at a time to a pod's network: one that is promised to the pod, and perhaps another one in its place.
 *
 * A VM is connected once, however often it is asked for. What connects and what undoes it is the owner's.
 */
import type { UnderWay } from "../../lib/under-way.ts";
import type { GuestVm } from "./guest-vm.ts";

export interface Connecting {
  readonly connect: (vm: GuestVm) => Promise<void>;
  /** Takes away whatever there is of a connection. */
  readonly undo: () => Promise<void>;
}

export class OneConnection {
  /** Which VM is connected, or is being connected. */
  private current: { readonly vm: GuestVm; readonly done: Promise<void> } | undefined;

  constructor(
    private readonly steps: Connecting,
    /** What is waited for before things are taken down. */
    private readonly underWay: UnderWay,
  ) {}

  /** Rejects with what connecting rejects with, also when it is asked again. */
  to(vm: GuestVm): Promise<void> {
    const before = this.current;
    if (before?.vm === vm) return before.done;
    const done = this.underWay.track(async () => {
      await before?.done.catch(() => undefined);
      // a VM that was given up must not stay connected beside the next one
      if (before !== undefined) await this.steps.undo();
      await this.steps.connect(vm);
    });
    done.catch(() => undefined);
    this.current = { vm, done };
    return done;
  }

  /** Undoes what there is; the next VM begins anew. */
  async undo(): Promise<void> {
    await this.current?.done.catch(() => undefined);
    this.current = undefined;
    await this.steps.undo();
  }
}
