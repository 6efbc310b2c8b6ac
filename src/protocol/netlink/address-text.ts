/**
 * Addresses as text and as bytes: IPv4, IPv6 (RFC 4291, written as RFC 5952 says), MAC addresses.
 *
 * Reading gives undefined for what is no address: its text may come from a configuration or a hostile peer. Pure; for Node
 * and QuickJS.
 */
import { AF_INET, AF_INET6 } from "./constants.ts";

const IP4_BYTES = 4;
const IP6_BYTES = 16;
const IP6_GROUPS = 8;
const MAC_BYTES = 6;
/** The longest text of an IPv6 address. */
const MAX_TEXT = 45;
const IP4 = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;
const GROUP = /^[0-9a-fA-F]{1,4}$/;
const MAC = /^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/;

/** The bytes of an IPv4 or IPv6 address without a zone. */
export function ipBytes(text: string): Uint8Array | undefined {
  if (text.length > MAX_TEXT) return undefined;
  return text.includes(":") ? ip6Bytes(text) : ip4Bytes(text);
}

/** AF_INET or AF_INET6. */
export function familyOf(address: Uint8Array): number {
  return address.length === IP4_BYTES ? AF_INET : AF_INET6;
}

/** Bits of an address of this family. */
export function bitsOf(family: number): number {
  return 8 * (family === AF_INET ? IP4_BYTES : IP6_BYTES);
}

/** Undefined for bytes that are neither 4 nor 16. */
export function ipText(bytes: Uint8Array): string | undefined {
  if (bytes.length === IP4_BYTES) return bytes.join(".");
  return bytes.length === IP6_BYTES ? ip6Text(bytes) : undefined;
}

/** The address of all zeros. */
export function anyAddress(family: number): string {
  return family === AF_INET ? "0.0.0.0" : "::";
}

/** A network with its bits, as `10.0.0.0/8`. */
export function networkOf(text: string): { address: Uint8Array; prefix: number } | undefined {
  const slash = text.indexOf("/");
  const address = ipBytes(text.slice(0, Math.max(slash, 0)));
  const digits = text.slice(slash + 1);
  if (address === undefined || !/^(0|[1-9]\d{0,2})$/.test(digits)) return undefined;
  const prefix = Number(digits);
  return prefix <= 8 * address.length ? { address, prefix } : undefined;
}

export function macBytes(text: string): Uint8Array | undefined {
  if (!MAC.test(text)) return undefined;
  return Uint8Array.from(text.split(":"), (byte) => Number.parseInt(byte, 16));
}

/** Undefined for what is no MAC address, such as a tunnel's. */
export function macText(bytes: Uint8Array): string | undefined {
  if (bytes.length !== MAC_BYTES) return undefined;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

function ip4Bytes(text: string): Uint8Array | undefined {
  const parts = IP4.exec(text)?.slice(1).map(Number);
  return parts?.every((part) => part < 256) ? Uint8Array.from(parts) : undefined;
}

function ip6Bytes(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head = "", tail] = halves;
  const before = groupsOf(head, tail === undefined);
  const after = tail === undefined ? [] : groupsOf(tail, true);
  if (before === undefined || after === undefined) return undefined;
  const missing = IP6_GROUPS - before.length - after.length;
  // "::" stands for one group or more
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  const groups = [...before, ...new Array<number>(missing).fill(0), ...after];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** @param last the text ends here, so that an IPv4 address may be its last two groups */
function groupsOf(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  const groups: number[] = [];
  for (const [index, part] of parts.entries()) {
    if (last && index === parts.length - 1 && part.includes(".")) {
      const [a, b, c, d] = ip4Bytes(part) ?? [];
      if (a === undefined || b === undefined || c === undefined || d === undefined) return undefined;
      groups.push((a << 8) | b, (c << 8) | d);
    } else if (GROUP.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

function ip6Text(bytes: Uint8Array): string {
  const groups = Array.from(
    { length: IP6_GROUPS },
    (_, index) => ((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0),
  );
  // an IPv4 address in IPv6 (RFC 5952, section 5)
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff)
    return `::ffff:${bytes.subarray(12).join(".")}`;
  const { start, length } = longestZeros(groups);
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  if (length < 2) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

/** The first of the longest runs of zeros. */
function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}
