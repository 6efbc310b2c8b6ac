/**
 * Binds the chart vm-boot to its effects: the one place where that chart and the VMs meet.
 *
 * Done once for all sandboxes, and once for each VM that no sandbox owns: an effect finds its {@link VmBoot} by the id in
 * its input.
 */
import { createActor, fromEventObservable, fromPromise } from "xstate";
import { deadlineClock } from "../../lib/deadline-timer.ts";
import { errorOf } from "../../machines/failure.ts";
import { vmBootMachine } from "../../machines/vm-boot.machine.ts";
import type {
  AcquireInput,
  Fallback,
  VmBootEffectInput,
  VmBootEvent,
  VmOrigin,
} from "../../machines/vm-boot.setup.ts";
import type { Endings } from "../supply/ahead/endings.ts";
import { until } from "../until.ts";
import type { VmBoot } from "./boot/vm-boot.actor.ts";
import type { VmBootOptions, VmBootPorts } from "./boot/vm-boot-options.ts";
import type { GuestVm } from "./guest-vm.ts";

/** What an operator reads when a quick way to a VM was not taken. */
const FALLBACKS: Readonly<Record<Fallback["from"], string>> = {
  warm: "a warm VM could not be adopted; the sandbox waits for a turn and gets a fresh one",
  fork: "the VM could not be forked, or the fork did not come up: it is cloned",
  clone: "the VM could not be cloned, or the clone did not come up: it boots",
  boot: "the VM that booted is ended and another one boots",
};

/** The chart with real effects; `find` knows every VM that is being made. */
export function bindVmBootMachine(
  find: (vmId: string) => VmBoot,
  loggerOf: (vmId: string) => VmBootOptions["logger"],
): typeof vmBootMachine {
  const effect = <Output>(run: (boot: VmBoot, signal: AbortSignal) => Promise<Output>) =>
    fromPromise<Output, VmBootEffectInput>(({ input, signal }) => run(find(input.vmId), signal));
  return vmBootMachine.provide({
    actors: {
      acquire: fromPromise<{ origin: VmOrigin }, AcquireInput>(({ input, signal }) =>
        find(input.vmId).acquire(input.fresh, signal),
      ),
      adopt: effect((boot, signal) => boot.adopt(signal)),
      fork: effect((boot, signal) => boot.fork(signal)),
      clone: effect((boot, signal) => boot.clone(signal)),
      boot: effect((boot, signal) => boot.boot(signal)),
      connectAgent: effect((boot, signal) => boot.connectAgent(signal)),
      examine: effect((boot) => boot.examine()),
      setUpGuest: effect((boot, signal) => boot.setUpGuest(signal)),
      vmm: fromEventObservable<VmBootEvent, VmBootEffectInput>(({ input }) => find(input.vmId).vmmEvents$()),
    },
    actions: {
      tellFallback: ({ context }, { from, failure }) => {
        const error = errorOf(failure, context.vmId);
        loggerOf(context.vmId).warn({ err: error }, FALLBACKS[from]);
        find(context.vmId).gaveUp(from, error);
      },
    },
  });
}

/**
 * Runs the chart for one VM that no sandbox owns yet, and hands it out. What fails, is late or is called off leaves nothing.
 * @param prepared what has to be there before the chart begins
 * @param endings ends what was made, if it fails
 * @throws BlazarError the chart's failure, Cancelled by the signal
 */
export async function makeVm(
  boot: VmBoot,
  prepared: Promise<void>,
  { logger, resources }: Pick<VmBootOptions, "logger" | "resources">,
  { deadlines }: Pick<VmBootPorts, "deadlines">,
  endings: Endings,
  signal: AbortSignal,
): Promise<GuestVm> {
  const machine = bindVmBootMachine(
    () => boot,
    () => logger,
  );
  const actor = createActor(machine, { input: { vmId: boot.id, deadlines }, clock: deadlineClock });
  try {
    await prepared;
    actor.start();
    const { output } = await until(actor, () => false, signal);
    if (output?.failure !== undefined) throw errorOf(output.failure, boot.id);
    boot.endTurn();
    return boot.release();
  } catch (error) {
    // its effects are called off
    actor.stop();
    await endings.begin(boot.id, () => giveUp(boot, resources));
    throw error;
  }
}

async function giveUp(boot: VmBoot, resources: VmBootOptions["resources"]): Promise<void> {
  await boot.end();
  await resources.undo(() => true);
  await resources.close();
  await boot.finish();
}
