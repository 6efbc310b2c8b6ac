/**
 * Capability names and their bits: capabilities(7), linux/capability.h.
 *
 * Pure: turns names into the masks that capset(2) and prctl(2) take. A guest is sent masks, because names would be a third
 * of a request to create a container. An unknown name is refused and never dropped: a spec that drops capabilities must not
 * end up with more.
 */
import { blazarError } from "../../contracts/errors.ts";

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

/** The mask of a list of names, `CAP_…`. Throws UnsupportedSpec for an unknown one. */
export function capabilityMask(names: readonly string[]): number {
  let low = 0;
  let high = 0;
  for (const name of names) {
    const bit = BITS.get(name);
    if (bit === undefined) {
      throw blazarError("UnsupportedSpec", "read a capability set", "there is no capability with this name", {
        subject: name,
      });
    }
    if (bit < WORD) low |= 1 << bit;
    else high |= 1 << (bit - WORD);
  }
  return (high >>> 0) * 2 ** WORD + (low >>> 0);
}
