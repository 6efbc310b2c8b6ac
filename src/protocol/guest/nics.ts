/**
 * How a guest knows its network interfaces: each has a permanent MAC address that tells its number.
 *
 * The VMM gives the addresses and the agent looks for them (IFLA_PERM_ADDRESS of rtnetlink(7)). A pod's own addresses are set
 * over them. All VMs have the same ones, because copies of a VM have what their template had.
 */

/** Most interfaces of a VM: what is in the powers of two that VMs have. */
export const MOST_NICS = 8;

/** Locally administered: the range of no vendor. */
const PREFIX = "02:b1:a2:00:00";

/** The permanent address of interface `index`, which counts from 0. */
export function nicMac(index: number): string {
  return `${PREFIX}:${index.toString(16).padStart(2, "0")}`;
}
