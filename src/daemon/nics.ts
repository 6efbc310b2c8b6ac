/**
 * How many network interfaces every VM has on this host: one, or none where taps cannot be made, as without root.
 *
 * The keeper makes the taps, so its capabilities count: capabilities(7), proc_pid_status(5). A VM without one is what
 * `blazar run` of a user gets.
 */
import { existsSync, readFileSync } from "node:fs";
import type { Keeper } from "../contracts/keeper.ts";

const CAP_NET_ADMIN = 12n;
const TUN = "/dev/net/tun";

export function nicsOf({ pid }: Pick<Keeper, "pid">): number {
  return existsSync(TUN) && mayAdministerNetworks(pid) ? 1 : 0;
}

function mayAdministerNetworks(pid: number): boolean {
  try {
    const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    return effective !== undefined && ((BigInt(`0x${effective}`) >> CAP_NET_ADMIN) & 1n) === 1n;
  } catch {
    return false;
  }
}
