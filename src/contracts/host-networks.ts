/**
 * What a pod with hostNetwork gets of the host's network, and how its guest finds the host: the data that those who read the
 * host, who start the helper and who set up the guest agree on.
 */
import type { PodNetwork } from "./pod-network.ts";

/** What the guest has of one address family. */
export interface HostFamily {
  readonly address: string;
  readonly prefix: number;
  /** Of the default route; undefined if the host has none, or one without a gateway. */
  readonly gateway: string | undefined;
}

export interface HostPlan {
  /** The host's link that it is made from; the guest's has its name and its MAC address. */
  readonly link: string;
  readonly mac: string;
  readonly mtu: number;
  readonly v4: HostFamily | undefined;
  readonly v6: HostFamily | undefined;
  /** What the guest is told. */
  readonly network: PodNetwork;
  /** The first and the last group whose processes may send ICMP echo (icmp(7), ping_group_range). */
  readonly pingGroups: readonly [first: number, last: number];
  /** What the guest has not that the host has, in an operator's words; told once. */
  readonly warnings: readonly string[];
}

/** In such a guest: where that resolver of the host answers which listens on the host's loopback only. */
export const FORWARDED_RESOLVER = "169.254.1.1";
/**
 * In such a guest: where the host itself answers, whose own addresses are the guest's. What the host connects to a guest from
 * its own addresses comes from there.
 */
export const HOST_ITSELF = { v4: "169.254.1.2", v6: "fdb1:a2b1:a200::2" } as const;

const NAME_SERVER = /^([ \t]*nameserver[ \t]+)(\S+)/gm;
const LOOPBACK = /^127\.[\d.]+$/;

/** The first name server of resolv.conf(5) that listens on IPv4's loopback, such as systemd-resolved's 127.0.0.53. */
export function loopbackResolver(resolvConf: string): string | undefined {
  return [...resolvConf.matchAll(NAME_SERVER)].map(([, , server = ""]) => server).find(isLoopback);
}

/** resolv.conf(5) with {@link FORWARDED_RESOLVER} in the place of such servers. */
export function reachableResolvers(resolvConf: string): string {
  return resolvConf.replace(NAME_SERVER, (line: string, word: string, server: string) =>
    isLoopback(server) ? word + FORWARDED_RESOLVER : line,
  );
}

function isLoopback(server: string): boolean {
  return LOOPBACK.test(server);
}
