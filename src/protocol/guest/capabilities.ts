/**
 * Capability names and their bits: capabilities(7), linux/capability.h.
 *
 * Pure: turns names into the masks that capset(2) and prctl(2) take. A guest is sent masks, because names would be a third
 * of a request to create a container. An unknown name adds nothing to a set, as with runc, which warns of it.
 */

/** In the order of their numbers, from 0. */
const NAMES = [
  "CHOWN",
  "DAC_OVERRIDE",
  "DAC_READ_SEARCH",
  "FOWNER",
  "FSETID",
  "KILL",
  "SETGID",
  "SETUID",
  "SETPCAP",
  "LINUX_IMMUTABLE",
  "NET_BIND_SERVICE",
  "NET_BROADCAST",
  "NET_ADMIN",
  "NET_RAW",
  "IPC_LOCK",
  "IPC_OWNER",
  "SYS_MODULE",
  "SYS_RAWIO",
  "SYS_CHROOT",
  "SYS_PTRACE",
  "SYS_PACCT",
  "SYS_ADMIN",
  "SYS_BOOT",
  "SYS_NICE",
  "SYS_RESOURCE",
  "SYS_TIME",
  "SYS_TTY_CONFIG",
  "MKNOD",
  "LEASE",
  "AUDIT_WRITE",
  "AUDIT_CONTROL",
  "SETFCAP",
  "MAC_OVERRIDE",
  "MAC_ADMIN",
  "SYSLOG",
  "WAKE_ALARM",
  "BLOCK_SUSPEND",
  "AUDIT_READ",
  "PERFMON",
  "BPF",
  "CHECKPOINT_RESTORE",
] as const;

const BITS: ReadonlyMap<string, number> = new Map(NAMES.map((name, bit) => [`CAP_${name}`, bit]));
const WORD = 32;

/** The mask of all capabilities. */
export const ALL_CAPABILITIES = 2 ** NAMES.length - 1;

/** Those names that are no capability's, each once. */
export function unknownCapabilities(names: readonly string[]): string[] {
  return [...new Set(names.filter((name) => !BITS.has(name)))];
}

/** The mask of a list of names, `CAP_…`; unknown ones are passed over. */
export function capabilityMask(names: readonly string[]): number {
  let low = 0;
  let high = 0;
  for (const name of names) {
    const bit = BITS.get(name);
    if (bit === undefined) continue;
    if (bit < WORD) low |= 1 << bit;
    else high |= 1 << (bit - WORD);
  }
  return (high >>> 0) * 2 ** WORD + (low >>> 0);
}
