/**
 * Starts a command's entry once more, in network and IPC namespaces of its own (unshare(1)), with its loopback up.
 *
 * For tests that bind fixed ports, change routes or leave shared memory behind: all of that goes with the namespaces.
 * What the entry needs of the network it must have fetched before.
 */
import { blazarError } from "../../src/contracts/errors.ts";
import { passThrough } from "./command.ts";

/** What the first start hands to the second, as JSON. */
const HANDED = "BLAZAR_HANDED_OVER";

/** What the first start has prepared; undefined in the first start itself. */
export function handedOver<T>(): T | undefined {
  const text = process.env[HANDED];
  return text === undefined ? undefined : (JSON.parse(text) as T);
}

/** Throws for anybody but root, who alone may do this. @param what for the error: `run critest` */
export function needRoot(what: string): void {
  if (process.getuid?.() === 0) return;
  const reason = "containers of runc and namespaces need root, and this is another user";
  throw blazarError("DependencyMissing", what, reason, { remedy: "run it as root" });
}

/** A host has an address and a way out, also if nobody is there: without them a pod with hostNetwork has no network. */
const UPLINK = [
  "link set lo up",
  "link add uplink type bridge",
  "addr add 192.0.2.10/24 dev uplink",
  "link set uplink up",
  "route add default via 192.0.2.1",
];

/** Returns the exit code of the second start. @param busybox one that has `ip` */
export function inOwnNamespaces(busybox: string, prepared: unknown): Promise<number> {
  // $0 is busybox, the rest is this program
  const script = [...UPLINK.map((words) => `"$0" ip ${words}`), 'exec "$@"'].join(" && ");
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  return passThrough("unshare", ["--net", "--ipc", "sh", "-c", script, busybox, ...again], {
    env: { ...process.env, [HANDED]: JSON.stringify(prepared) },
  });
}
