/**
 * What a VM tells by itself, in order and each change once; its end is told to whoever comes late, too.
 */
import { Observable, Subject } from "rxjs";
import type { VmmEvent } from "../../contracts/vm.ts";
import type { RunningProcess, VmmExit } from "./running-process.ts";

export class VmEvents {
  readonly events$: Observable<VmmEvent>;
  private readonly live = new Subject<VmmEvent>();
  private paused = false;

  constructor(process: RunningProcess) {
    this.events$ = new Observable((subscriber) => {
      if (process.exit === undefined) return this.live.subscribe(subscriber);
      subscriber.next({ type: "vmm.exited", ...process.exit });
      subscriber.complete();
      return undefined;
    });
  }

  setPaused(paused: boolean): void {
    if (this.paused === paused) return;
    this.paused = paused;
    this.live.next({ type: paused ? "vmm.paused" : "vmm.resumed" });
  }

  /** The guest has ended. */
  guestEnded(event: VmmEvent & { readonly type: "vmm.guestShutdown" | "vmm.guestPanicked" }): void {
    this.live.next(event);
  }

  /** The VMM has ended: nothing comes after this. */
  exited(exit: VmmExit): void {
    this.live.next({ type: "vmm.exited", ...exit });
    this.live.complete();
  }
}
