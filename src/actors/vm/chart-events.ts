/**
 * Reports of VMMs and guests, as events of the charts. The streams never error: a failure is an event, too.
 */
import { catchError, concatAll, concatMap, from, map, Observable, of } from "rxjs";
import type { Logger } from "../../contracts/logger.ts";
import type { Vm, VmmEvent } from "../../contracts/vm.ts";
import { within } from "../../lib/async.ts";
import { SIGKILL } from "../../lib/signals.ts";
import { failureOf } from "../../machines/failure.ts";
import type { SandboxEvent } from "../../machines/sandbox.setup.ts";
import type { VmBootEvent } from "../../machines/vm-boot.setup.ts";
import type { ProcessExited } from "../../protocol/guest/messages.ts";
import type { GuestEvent } from "../guest/guest-events.ts";
import { type GuestLink, isLinkClosed } from "../guest/link.ts";

/** After a guest's link was closed by its VMM's end, the keeper tells that end within this time. */
const EXIT_FOLLOWS_MS = 300;

/** A host's file that cannot be written holds up what the guest tells for so long. */
const WRITE_BACK_MS = 2_000;

/** An end by SIGKILL may be the kernel's doing: says so. @param outOfMemory looks whether it is */
export function withOutOfMemory(outOfMemory: () => string | undefined): (event: VmBootEvent) => VmBootEvent {
  return (event) => {
    const killed = event.type === "vmm.exited" && event.signal === SIGKILL ? outOfMemory() : undefined;
    return killed === undefined || event.type !== "vmm.exited" ? event : { ...event, outOfMemory: killed };
  };
}

/** A stream that fails is the end of the VMM, as far as anybody can tell. */
export function vmmEvents$(vm: Vm, logger: Logger): Observable<VmBootEvent> {
  return new Observable<VmmEvent>((observer) => vm.events.subscribe(observer)).pipe(
    catchError((error: unknown) => {
      logger.error({ err: error }, "the VMM's event stream failed; the sandbox is given up");
      return of<VmmEvent>({ type: "vmm.exited", code: -1, signal: 0 });
    }),
  );
}

/**
 * A link that is lost by now says so first.
 * @param vmm if it has ended, that is told instead of a link that was closed by it
 * @param writeBack what a container has left for the host is there before its end is told; never rejects
 */
export function guestEvents$(
  { events$ }: GuestLink,
  vmm: Pick<Vm, "exited">,
  writeBack: (returned: ProcessExited["returned"]) => Promise<void>,
): Observable<SandboxEvent> {
  return events$.pipe(
    map((event) => begun(event, writeBack)),
    concatMap(({ event, written }) => {
      if (event.type === "lost" && isLinkClosed(event.error)) return from(unlessExited(event, vmm));
      return written === undefined ? of([event]) : from(written.then(() => [event]));
    }),
    concatAll(),
    map((event): SandboxEvent => {
      if (event.type === "lost") return { type: "guest.lost", failure: failureOf(event.error) };
      if (event.type === "oomKilled") return { type: "guest.oomKilled", containerId: event.id };
      const { id, execId, status } = event.exit;
      return { type: "guest.processExited", containerId: id, execId, status };
    }),
  );
}

/**
 * What is to be written back is on its way at once, and an event that waits for its turn has no content: a guest may send more of
 * them than a disk takes.
 */
function begun(
  event: GuestEvent,
  writeBack: (returned: ProcessExited["returned"]) => Promise<void>,
): { readonly event: GuestEvent; readonly written: Promise<unknown> | undefined } {
  if (event.type !== "processExited" || event.exit.returned.length === 0)
    return { event, written: undefined };
  const written = within(writeBack(event.exit.returned), WRITE_BACK_MS);
  return { event: { type: event.type, exit: { ...event.exit, returned: [] } }, written };
}

/** A VMM that ends closes its guest's link first, and how it has ended says more. */
async function unlessExited(event: GuestEvent, { exited }: Pick<Vm, "exited">): Promise<GuestEvent[]> {
  return (await within(exited, EXIT_FOLLOWS_MS)) === undefined ? [event] : [];
}
