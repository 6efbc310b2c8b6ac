/**
 * Addresses of the loopback: whoever listens on one can only be reached from this host (RFC 1122, RFC 4291).
 */
import { isIPv4 } from "node:net";

/** Where to listen. */
export interface LoopbackAddress {
  readonly host: string;
  readonly port: number;
}

const ADDRESS = /^(?:\[([0-9a-f:]+)\]|([^:[\]]+)):(\d{1,5})$/i;
const LAST_PORT = 65_535;

/** Reads `127.0.0.1:9477`, `[::1]:9477` or `localhost:9477`; undefined for anything else, other addresses included. */
export function loopbackAddress(text: string): LoopbackAddress | undefined {
  const [, ipv6, name = ipv6 ?? "", digits = ""] = ADDRESS.exec(text) ?? [];
  const port = Number(digits);
  if (digits === "" || port > LAST_PORT || !isLoopback(name)) return undefined;
  return { host: name === "localhost" ? "127.0.0.1" : name, port };
}

/** `localhost`, or an address of the loopback, without brackets. */
export function isLoopback(name: string): boolean {
  return name === "localhost" || name === "::1" || (isIPv4(name) && name.startsWith("127."));
}
