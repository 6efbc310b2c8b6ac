/**
 * Tells a guest that is slow from one that will never say hello, by what its VMM does.
 *
 * A guest writes to its console, or its agent speaks, after about a second of CPU time, whatever else the host does. One
 * that has had much more in silence runs in circles. One whose VMM uses no CPU waits for something that does not come. In
 * between it is the host that is busy: patience.
 */
import type { Vm, VmSource } from "../../../contracts/vm.ts";
import type { Failure } from "../../../machines/failure.ts";

/** Of the time between two looks: with less, nothing happens in the guest. A busy host gives more. */
const LEAST_SHARE = 0.02;
/** Of the time until the first look: with more CPU time, a guest has spoken. */
const SPENT_SHARE = 0.5;

/** What is known of one VM. */
interface Seen {
  readonly pid: number;
  readonly cpuMs: number;
}

export class Examiner {
  private last: Seen = { pid: 0, cpuMs: 0 };

  /** Why the guest will not say hello; undefined = it may. Called once every `periodMs`. */
  async examine(
    vm: Pick<Vm, "vitals" | "identity">,
    source: VmSource["kind"],
    periodMs: number,
  ): Promise<Failure | undefined> {
    const { pid } = vm.identity;
    const before = this.last.pid === pid ? this.last.cpuMs : 0;
    const { cpuMs, spoke } = await vm.vitals();
    this.last = { pid, cpuMs };
    const used = cpuMs - before;
    if (used < periodMs * LEAST_SHARE) return silent(`its VMM has used ${used} ms of CPU in ${periodMs} ms`);
    // a copy writes nothing to its console: it has booted long before
    const speaks = source === "boot" && spoke;
    if (!speaks && cpuMs >= periodMs * SPENT_SHARE)
      return silent(`its VMM has used ${cpuMs} ms of CPU, and the guest has said nothing`);
    return undefined;
  }
}

function silent(why: string): Failure {
  return { code: "GuestNotReady", operation: "boot the guest", reason: `it shows no sign of life: ${why}` };
}
