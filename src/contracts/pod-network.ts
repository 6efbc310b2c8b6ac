/**
 * What a pod's network is: links, addresses, routes, neighbours and sysctls, as plain data.
 *
 * The host reads it from the namespace that CNI has filled, and tells it to the guest, which makes the same. Words and
 * numbers are those of rtnetlink(7). Apart from the port (network.ts), because the guest's agent needs it, too.
 */

/** An address of a link, as rtnetlink(7) has it. */
export interface PodAddress {
  /** IPv4 or IPv6, as text: `10.0.0.2`, `fd00::2`. */
  readonly address: string;
  /** Bits of the network. */
  readonly prefix: number;
  /** The other end, if it is another address (IFA_ADDRESS of a point-to-point link). */
  readonly peer?: string | undefined;
  readonly broadcast?: string | undefined;
  /** RT_SCOPE_*. */
  readonly scope: number;
}

/** A network interface that the guest shall have. `lo` is none of them. */
export interface PodLink {
  /** Its name in the pod's namespace and in the guest. */
  readonly name: string;
  /** `aa:bb:cc:dd:ee:ff`. */
  readonly mac: string;
  readonly mtu: number;
  readonly addresses: readonly PodAddress[];
}

/** A route of the main table. */
export interface PodRoute {
  /** Network with its bits: `10.0.0.0/8`, `0.0.0.0/0`, `::/0`. */
  readonly destination: string;
  /** {@link PodLink.name}; "lo" for local ones. "" for a route without a link, such as a blackhole. */
  readonly link: string;
  readonly gateway?: string | undefined;
  /** Preferred source address. */
  readonly source?: string | undefined;
  /** RT_SCOPE_*. */
  readonly scope: number;
  /** RTN_*: unicast, blackhole, unreachable, prohibit. */
  readonly type: number;
  /** Priority; 0 = none. */
  readonly metric: number;
  readonly mtu?: number | undefined;
  /** RTNH_F_ONLINK: the gateway is on the link whatever the addresses say. */
  readonly onlink: boolean;
}

/** A neighbour that a plugin has made permanent. */
export interface PodNeighbour {
  readonly link: string;
  readonly address: string;
  readonly mac: string;
}

/** All that a guest is told of its network. Applied as a whole: what is not in it goes. */
export interface PodNetwork {
  readonly links: readonly PodLink[];
  /** In the order in which they can be made: those that gateways are reached by come first. */
  readonly routes: readonly PodRoute[];
  readonly neighbours: readonly PodNeighbour[];
  /**
   * What somebody has set in the namespace, by the path below /proc/sys (`net/core/somaxconn`). Set after the links; what
   * the pod's own configuration says comes later, and wins.
   */
  readonly sysctls?: Readonly<Record<string, string>> | undefined;
}

/** Nothing but `lo`. */
export const NO_NETWORK: PodNetwork = { links: [], routes: [], neighbours: [] };
