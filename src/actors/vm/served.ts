/**
 * Requests to a guest that need files of the host: they fail soon where a file server of the VM is stopped.
 *
 * A guest waits for a file server as a host waits for a disk. Somebody may have stopped the server (SIGSTOP, a debugger); then
 * no answer comes before the server goes on. Only a server that is seen stopped twice counts. It decides nothing about the
 * server itself.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import { onAbort, pause, type Waiting } from "../../lib/async.ts";
import type { GuestShare } from "./guest-share.ts";

/** From one look to the next; the first is when a request has taken as long. */
const LOOK_MS = 1_000;

/** @throws BlazarError HostResource if a server is stopped; the request is called off then */
export async function whileServed<T>(
  shares: readonly Pick<GuestShare, "stoppedServer">[],
  what: Waiting,
  signal: AbortSignal,
  request: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const [done, off] = [new AbortController(), new AbortController()];
  const forget = onAbort(signal, () => off.abort());
  let stopped: BlazarError | undefined;
  const watch = async (): Promise<void> => {
    for (let seen: number | undefined; !done.signal.aborted; ) {
      await pause(LOOK_MS, done.signal);
      if (done.signal.aborted) return;
      const pid = await firstStopped(shares);
      if (pid !== undefined && pid === seen) {
        stopped = stoppedError(what, pid);
        off.abort();
        return;
      }
      seen = pid;
    }
  };
  void watch();
  try {
    return await request(off.signal);
  } catch (error) {
    throw stopped ?? error;
  } finally {
    done.abort();
    forget();
  }
}

async function firstStopped(
  shares: readonly Pick<GuestShare, "stoppedServer">[],
): Promise<number | undefined> {
  const all = await Promise.all(shares.map((share) => share.stoppedServer()));
  return all.find((pid) => pid !== undefined);
}

function stoppedError({ operation, subject }: Waiting, pid: number): BlazarError {
  return blazarError("HostResource", operation, `the pod's file server is stopped (process ${pid})`, {
    subject,
    remedy: `let it go on (kill -CONT ${pid}), or end it`,
  });
}
