/**
 * Taps and netlink sockets: tuntap.rst of the kernel, netlink(7) (interfaces.c).
 */

declare module "sys" {
  /** A new tap of this network namespace, non-blocking, as /dev/net/tun makes it with IFF_NO_PI, IFF_VNET_HDR and IFF_TUN_EXCL. */
  export function tapOpen(name: string): Descriptor;
  /** The tap stays when its last descriptor is closed, as long as its network namespace does: TUNSETPERSIST. */
  export function tapPersist(fd: number): Result;
  /** The network namespace of another process's tap, by its pidfd and its own number of the descriptor: TUNGETDEVNETNS. */
  export function tapNamespace(pidfd: number, theirs: number): Descriptor;
  /** The user namespace that a namespace belongs to: ioctl_ns(2), NS_GET_USERNS. */
  export function namespaceOwner(fd: number): Descriptor;
  /** A netlink(7) socket with NETLINK_EXT_ACK and NETLINK_CAP_ACK, to be used with `read` and `write`. */
  export function netlinkOpen(protocol: number): Descriptor;
  /** A non-blocking netlink(7) socket that hears what is told to these groups (a bit for each). */
  export function netlinkListen(protocol: number, groups: number): Descriptor;
}
