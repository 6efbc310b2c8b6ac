/**
 * What all commands that ask a daemon share: which socket, the client's life, the screen, and the end by a signal.
 */

import { type Screen, screenOf } from "../../console/screen.ts";
import type { BlazarError } from "../../contracts/errors.ts";
import { reasonOf } from "../../contracts/errors.ts";
import { harmless } from "../../lib/harmless.ts";
import { InspectionClient } from "../../rpc/inspection/client.ts";
import { type DaemonOptions, daemonSocket } from "../daemon-socket.ts";

/** Opens a client for as long as `work` goes on. */
export async function withDaemon<Result>(
  options: DaemonOptions,
  work: (daemon: InspectionClient) => Promise<Result>,
): Promise<Result> {
  const daemon = new InspectionClient(await daemonSocket(options, process.env));
  try {
    return await work(daemon);
  } finally {
    daemon.close();
  }
}

/** The standard output as it is now. */
export function screenNow(): Screen {
  return screenOf(process, Date.now());
}

export function write(text: string): void {
  process.stdout.write(text);
}

/** Until Ctrl-C; the loss of the daemon is told on standard error, and what that means for who reads on. */
export function untilInterrupted(meanwhile = ""): {
  readonly signal: AbortSignal;
  readonly onGone: (error: BlazarError) => void;
} {
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort());
  const onGone = (error: BlazarError) => {
    const loss = meanwhile === "" ? "" : `: ${meanwhile}`;
    process.stderr.write(`blazar: ${harmless(reasonOf(error))}; waiting for it${loss}\n`);
  };
  return { signal: interrupted.signal, onGone };
}
