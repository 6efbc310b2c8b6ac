/**
 * Makes a VM that nobody owns as pods shall find it: rehearsed, with whatever is prepared ahead. Under a deadline.
 *
 * A guest may hang at any step. A VM that is late or fails is ended, which lets go of the step; only then is everything
 * undone that the step has made.
 */
import type { Deadlines } from "../../../contracts/deadlines.ts";
import { blazarError } from "../../../contracts/errors.ts";
import { abortable, withDeadline } from "../../../lib/async.ts";
import type { GuestVm } from "../../vm/guest-vm.ts";
import type { Endings } from "./endings.ts";

export interface WarmUpPorts {
  readonly deadlines: Pick<Deadlines, "warmUp">;
  readonly endings: Endings;
}

/** Throws what `work` throws, DeadlineExceeded, or Cancelled; the VM has ended then, as far as that works. */
export async function warmUp(
  vm: GuestVm,
  work: () => Promise<void>,
  { deadlines, endings }: WarmUpPorts,
  signal: AbortSignal,
): Promise<void> {
  const what = { operation: "warm a VM up", subject: vm.id };
  const late = () => {
    const reason = `not done within ${deadlines.warmUp} ms`;
    return blazarError("DeadlineExceeded", what.operation, reason, { subject: vm.id });
  };
  const working = work();
  try {
    await withDeadline(abortable(working, signal, what), deadlines.warmUp, late);
  } catch (error) {
    await endings.begin(vm.id, async () => {
      await vm.end();
      await working.catch(() => undefined);
      await vm.destroy();
    });
    throw error;
  }
}
