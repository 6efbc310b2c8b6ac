/**
 * The kernel's numbers for rtnetlink: linux/netlink.h, rtnetlink.h, if_link.h, if_addr.h, neighbour.h, pkt_sched.h.
 *
 * Only those that Blazar uses, under the kernel's names.
 */

export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const NETLINK_ROUTE = 0;
export const SOL_NETLINK = 270;

/** Options of a netlink socket, netlink(7). */
export const NETLINK_CAP_ACK = 10;
export const NETLINK_EXT_ACK = 11;
export const NETLINK_GET_STRICT_CHK = 12;

/** Multicast groups of NETLINK_ROUTE as bits of `nl_groups`. */
export const RTMGRP = {
  link: 0x1,
  neigh: 0x4,
  ip4Address: 0x10,
  ip4Route: 0x40,
  ip6Address: 0x100,
  ip6Route: 0x400,
};

export const NLMSG_NOOP = 1;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_OVERRUN = 4;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_DUMP = 0x300;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
/** Of an NLMSG_ERROR: the request's body is not in it. */
export const NLM_F_CAPPED = 0x100;
/** Of an NLMSG_ERROR: attributes follow. */
export const NLM_F_ACK_TLVS = 0x200;

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_SETLINK = 19;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;
export const RTM_NEWRULE = 32;
export const RTM_GETRULE = 34;
export const RTM_NEWQDISC = 36;
export const RTM_DELQDISC = 37;
export const RTM_NEWTFILTER = 44;
export const RTM_DELTFILTER = 45;
export const RTM_GETTFILTER = 46;

/** Hardware types, linux/if_arp.h. */
export const ARPHRD_ETHER = 1;
export const ARPHRD_LOOPBACK = 772;

/** Flags of a link, linux/if.h. */
export const IFF_UP = 0x1;
export const IFF_ALLMULTI = 0x200;

/** IFLA_INET6_ADDR_GEN_MODE. */
export const IN6_ADDR_GEN_MODE_NONE = 1;

export const RT_SCOPE_UNIVERSE = 0;
export const RT_SCOPE_LINK = 253;
export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;

export const RTPROT_UNSPEC = 0;
export const RTPROT_KERNEL = 2;
export const RTPROT_BOOT = 3;

export const RTN_UNICAST = 1;
export const RTN_LOCAL = 2;
export const RTN_BLACKHOLE = 6;
export const RTN_UNREACHABLE = 7;
export const RTN_PROHIBIT = 8;

export const RTNH_F_ONLINK = 4;
export const RTM_F_CLONED = 0x200;

export const IFA_F_SECONDARY = 0x1;
export const IFA_F_NODAD = 0x2;
export const IFA_F_DADFAILED = 0x8;
export const IFA_F_DEPRECATED = 0x20;
export const IFA_F_TENTATIVE = 0x40;
export const IFA_F_NOPREFIXROUTE = 0x200;

export const NUD_PERMANENT = 0x80;

/** Attributes of a link, if_link.h. */
export const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  LINKINFO: 18,
  AF_SPEC: 26,
  NET_NS_FD: 28,
  EXT_MASK: 29,
  LINK_NETNSID: 37,
  PERM_ADDRESS: 54,
} as const;
export const IFLA_INFO_KIND = 1;
export const IFLA_INFO_DATA = 2;
/** In IFLA_AF_SPEC, AF_INET: a number of 4 bytes for each of IPV4_DEVCONF_*, which begin with 1. */
export const IFLA_INET_CONF = 1;
/** In IFLA_AF_SPEC, AF_INET6: the same of DEVCONF_*, which begin with 0. */
export const IFLA_INET6_CONF = 2;
export const IFLA_INET6_ADDR_GEN_MODE = 8;
/** In IFLA_INFO_DATA of an ipvlan. */
export const IFLA_IPVLAN_MODE = 1;
/** Of IFLA_EXT_MASK: a dump without counters. */
export const RTEXT_FILTER_SKIP_STATS = 8;

/** Attributes of an address, if_addr.h. */
export const IFA = { ADDRESS: 1, LOCAL: 2, LABEL: 3, BROADCAST: 4, CACHEINFO: 6, FLAGS: 8 } as const;

/** Attributes of a route, rtnetlink.h. */
export const RTA = {
  DST: 1,
  SRC: 2,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  METRICS: 8,
  MULTIPATH: 9,
  TABLE: 15,
  VIA: 18,
  ENCAP_TYPE: 21,
} as const;
/** In RTA_METRICS. */
export const RTAX_MTU = 2;

/** Attributes of a neighbour, neighbour.h. */
export const NDA = { DST: 1, LLADDR: 2 } as const;

/** Attributes of a qdisc or filter, rtnetlink.h. */
export const TCA = { KIND: 1, OPTIONS: 2 } as const;
export const TC_H_INGRESS = 0xffff_fff1;
/** What `ingress` and `clsact` are called on their link: there is one of them at most. */
export const INGRESS_HANDLE = 0xffff_0000;
/** Where clsact's filters for what comes in are; the `ingress` qdisc's are there, too. */
export const INGRESS_PARENT = 0xffff_fff2;
export const ETH_P_ALL = 3;
