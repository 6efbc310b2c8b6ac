/**
 * Reports of VMMs and guests, as events of the charts. The streams never error: a failure is an event, too.
 */
import { catchError, concatMap, from, map, Observable, of } from "rxjs";
import type { Logger } from "../../contracts/logger.ts";
import type { Vm, VmmEvent } from "../../contracts/vm.ts";
import { failureOf } from "../../machines/failure.ts";
import type { SandboxEvent } from "../../machines/sandbox.setup.ts";
import type { VmBootEvent } from "../../machines/vm-boot.setup.ts";
import type { ProcessExited } from "../../protocol/guest/messages.ts";
import type { GuestLink } from "../guest/link.ts";

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
 * @param writeBack what a container has left for the host is there before its end is told; never rejects
 */
export function guestEvents$(
  { events$ }: GuestLink,
  writeBack: (returned: ProcessExited["returned"]) => Promise<void>,
): Observable<SandboxEvent> {
  return events$.pipe(
    concatMap((event) =>
      event.type !== "processExited" || event.exit.returned.length === 0
        ? of(event)
        : from(writeBack(event.exit.returned).then(() => event)),
    ),
    map((event): SandboxEvent => {
      if (event.type === "lost") return { type: "guest.lost", failure: failureOf(event.error) };
      if (event.type === "oomKilled") return { type: "guest.oomKilled", containerId: event.id };
      const { id, execId, status } = event.exit;
      return { type: "guest.processExited", containerId: id, execId, status };
    }),
  );
}
