/**
 * Loads a template's devices into a QEMU that waits for them, and sees the clone run (QEMU: docs/devel/migration).
 *
 * The memory is there already (x-ignore-shared). A template is saved while it runs, so a clone goes on by itself as soon as
 * it has loaded; one whose state cannot be loaded ends.
 */
import { abortable, pause, throwIfAborted } from "../../../lib/async.ts";
import { isRecord } from "../../../protocol/wire/json.ts";
import type { QmpClient } from "../qmp/client.ts";

const WHAT = { operation: "restore the VM" };
/** A state has 60 KB. */
const POLL_MS = 1;
/** Left alone by a restore, a guest's memory is its template's. */
export const IGNORE_SHARED = { capabilities: [{ capability: "x-ignore-shared", state: true }] };

/**
 * QEMU takes a clone for a machine that has moved. It would send frames with the NICs' permanent addresses for half a second,
 * also into a network that the tap has been moved to meanwhile, and have the guest announce itself five times.
 */
const SILENT = { "announce-rounds": 0 };

/** `state` is a descriptor of QEMU's. Throws QmpFailed, or Cancelled at the abort. */
export async function restore(
  qmp: QmpClient,
  state: number,
  step: (name: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const ask = (command: string, args?: Record<string, unknown>): Promise<unknown> =>
    abortable(qmp.execute(command, args), signal, WHAT);
  // In one go: each answer that is waited for costs a millisecond.
  await Promise.all([
    ask("migrate-set-capabilities", IGNORE_SHARED),
    ask("migrate-set-parameters", SILENT),
    ask("migrate-incoming", { uri: `fd:${state}` }),
  ]);
  let status = await ask("query-status").then(statusOf);
  for (; status === "inmigrate"; status = await ask("query-status").then(statusOf)) {
    await pause(POLL_MS, signal);
    throwIfAborted(signal, WHAT);
  }
  step("restored");
  if (status !== "running") await ask("cont");
  step("running");
}

function statusOf(answer: unknown): unknown {
  return isRecord(answer) ? answer["status"] : undefined;
}
