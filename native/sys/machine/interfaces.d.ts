/**
 * Netlink sockets: netlink(7) (interfaces.c).
 */

declare module "sys" {
  /** A netlink(7) socket with NETLINK_EXT_ACK and NETLINK_CAP_ACK, to be used with `read` and `write`. */
  export function netlinkOpen(protocol: number): Descriptor;
}
