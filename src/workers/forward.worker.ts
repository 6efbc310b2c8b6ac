/**
 * Worker entry: takes connections to `localhost` in pods' network namespaces.
 *
 * Its functions are the tasks of a piscina pool, called by name with plain data; {@link ForwardTasks} lists them. A task
 * leaves its thread in the namespace that it was in.
 */
import { type LoopbackListener, openLoopbackListener } from "./loopback/listener.ts";
import { type Outcome, settle } from "./outcome.ts";

/** The tasks by name, as the pool calls them. */
export interface ForwardTasks {
  /** The descriptors are the caller's from then on. */
  openLoopback(input: { readonly netnsPath: string }): Outcome<LoopbackListener>;
}

export function openLoopback({
  netnsPath,
}: Parameters<ForwardTasks["openLoopback"]>[0]): Outcome<LoopbackListener> {
  const operation = "take connections to localhost";
  return settle("HostResource", operation, netnsPath, () => openLoopbackListener(netnsPath));
}
