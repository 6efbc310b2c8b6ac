/**
 * Stands for a VM that an earlier daemon had, and that nobody can reach any more: everything is answered with VmmExited.
 *
 * What its containers have on the host can be undone with it, as with any VM that has ended. It ends nothing: a VMM that runs in
 * spite of all is ended by its resource in the journal.
 */
import { EMPTY } from "rxjs";
import { type BlazarError, blazarError } from "../../../contracts/errors.ts";
import type { Vm } from "../../../contracts/vm.ts";

const NOBODY_KNOWS = { code: -1, signal: 0 };

export function goneVm(id: string): Vm {
  const gone = async (): Promise<never> => {
    throw exited(id);
  };
  const nothing = async (): Promise<void> => undefined;
  return {
    id,
    identity: { pid: 0, startTime: 0 },
    acceleration: "tcg",
    nics: [],
    events: EMPTY,
    timeline: [],
    vitals: async () => ({ cpuMs: 0, spoke: false }),
    connectAgent: gone,
    attachDisk: gone,
    detachDisk: nothing,
    attachPort: gone,
    detachPort: nothing,
    attachImage: gone,
    detachImage: nothing,
    pause: gone,
    resume: gone,
    kill: nothing,
    exited: Promise.resolve(NOBODY_KNOWS),
    diagnostics: async () => "",
    readLog: async () => ({ bytes: new Uint8Array(), written: 0 }),
  };
}

export function exited(id: string): BlazarError {
  return blazarError("VmmExited", "take over the VM", "it does not run any more", { subject: id });
}
