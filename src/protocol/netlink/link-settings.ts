/**
 * The sysctls of a link (`net.ipv4.conf.LINK.*`, `net.ipv6.conf.LINK.*`), which the kernel tells with the link itself:
 * linux/ip.h and linux/ipv6.h, Documentation/networking/ip-sysctl.rst.
 *
 * Those that a guest can have are known here by name. Others are the business of whoever brings up the link: router
 * advertisements, duplicate addresses, how a link-local address is made.
 */
import { AF_INET, AF_INET6, IFLA, IFLA_INET_CONF, IFLA_INET6_CONF } from "./constants.ts";
import { Attributes, type NetlinkMessage, viewOf } from "./reader.ts";

/** struct ifinfomsg. */
const FIXED_BYTES = 16;

/** IPV4_DEVCONF_* by their files' names. */
export const IPV4: Readonly<Record<string, number>> = {
  forwarding: 1,
  proxy_arp: 3,
  accept_redirects: 4,
  secure_redirects: 5,
  send_redirects: 6,
  shared_media: 7,
  rp_filter: 8,
  accept_source_route: 9,
  log_martians: 11,
  arp_filter: 13,
  arp_announce: 18,
  arp_ignore: 19,
  promote_secondaries: 20,
  arp_accept: 21,
  arp_notify: 22,
  accept_local: 23,
  src_valid_mark: 24,
  proxy_arp_pvlan: 25,
  route_localnet: 26,
};

/** DEVCONF_* by their files' names. */
export const IPV6: Readonly<Record<string, number>> = {
  forwarding: 0,
  hop_limit: 1,
  accept_redirects: 4,
  proxy_ndp: 22,
  accept_source_route: 24,
  disable_ipv6: 26,
  ndisc_notify: 29,
  keep_addr_on_down: 42,
};

/** Values by family and name: `ipv4/rp_filter`. Of a family that the link does not have there are none. */
export type LinkSettings = Readonly<Record<string, number>>;

/** Reads an RTM_NEWLINK. Throws FrameMalformed. */
export function linkSettingsOf({ body }: NetlinkMessage): LinkSettings {
  const families = new Attributes(body, FIXED_BYTES).nested(IFLA.AF_SPEC);
  const ipv4 = families?.nested(AF_INET)?.bytes(IFLA_INET_CONF);
  const ipv6 = families?.nested(AF_INET6)?.bytes(IFLA_INET6_CONF);
  return { ...settings("ipv4", IPV4, ipv4, 1), ...settings("ipv6", IPV6, ipv6, 0) };
}

function settings(
  family: string,
  names: Readonly<Record<string, number>>,
  values: Uint8Array | undefined,
  first: number,
): LinkSettings {
  if (values === undefined) return {};
  const view = viewOf(values);
  const known: Record<string, number> = {};
  for (const [name, number] of Object.entries(names)) {
    const at = (number - first) * 4;
    // an older kernel has fewer of them
    if (at + 4 <= values.length) known[`${family}/${name}`] = view.getInt32(at, true);
  }
  return known;
}
