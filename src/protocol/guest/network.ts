/**
 * The network that a guest is told to have: PodNetwork of contracts/pod-network.ts as checks.
 *
 * Bounded, because the guest looks at all of it at once. Whether texts are addresses is found out by whoever makes netlink
 * messages of them (src/protocol/netlink/).
 */
import type { PodNetwork } from "../../contracts/pod-network.ts";
import { array, boolean, type Check, integer, object, optional, record, string } from "../wire/json.ts";

/** What a guest takes. The host refuses what is more, by name. */
export const NETWORK_LIMITS = { links: 8, addresses: 256, routes: 1024, neighbours: 1024 } as const;

const uint8 = integer(0, 0xff);
const uint32 = integer(0, 0xffff_ffff);

const address = object({
  address: string,
  prefix: integer(0, 128),
  peer: optional(string),
  broadcast: optional(string),
  scope: uint8,
});

const link = object({
  name: string,
  mac: string,
  mtu: uint32,
  addresses: array(address, NETWORK_LIMITS.addresses),
});

const route = object({
  destination: string,
  link: string,
  gateway: optional(string),
  source: optional(string),
  scope: uint8,
  type: uint8,
  metric: uint32,
  mtu: optional(uint32),
  onlink: boolean,
});

const neighbour = object({ link: string, address: string, mac: string });

/** All of it: what a guest has and is not in it goes. */
export const guestNetwork: Check<PodNetwork> = object({
  links: array(link, NETWORK_LIMITS.links),
  routes: array(route, NETWORK_LIMITS.routes),
  neighbours: array(neighbour, NETWORK_LIMITS.neighbours),
  sysctls: optional(record(string)),
});
