/**
 * Network interfaces and netlink sockets: netdevice(7), netlink(7) (interfaces.c).
 */

declare module "sys" {
  /** Brings an interface up or down: SIOCSIFFLAGS. */
  export function setInterfaceUp(name: string, up: boolean): Result;
  /** An IPv4 address and mask: SIOCSIFADDR, SIOCSIFNETMASK. */
  export function setInterfaceAddress(name: string, address: string, mask: string): Result;
  /** SIOCSIFMTU. */
  export function setInterfaceMtu(name: string, mtu: number): Result;
  /** SIOCSIFHWADDR of an Ethernet interface, "aa:bb:cc:dd:ee:ff". */
  export function setInterfaceMac(name: string, mac: string): Result;
  /** An IPv4 default route: SIOCADDRT. Anything more is netlink's work. */
  export function addDefaultRoute(gateway: string): Result;
  /** A new tap of this network namespace, non-blocking, as /dev/net/tun makes it with IFF_NO_PI, IFF_VNET_HDR and IFF_TUN_EXCL. */
  export function tapOpen(name: string): Descriptor;
  /** The tap stays when its last descriptor is closed, as long as its network namespace does: TUNSETPERSIST. */
  export function tapPersist(fd: number): Result;
  /** A netlink(7) socket, to be used with `read` and `write`. */
  export function netlinkOpen(protocol: number): Descriptor;
}
