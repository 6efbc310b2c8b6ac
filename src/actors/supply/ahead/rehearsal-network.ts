/**
 * The network of a rehearsal: what a guest does for a pod's network, done once and undone.
 *
 * Nobody hears of it: no tap of such a VM is joined to anything. No socket of the Internet's protocols is opened, because
 * the kernel would make the secrets of sequence numbers and ports then, and forks would have them in common.
 */
import { NO_NETWORK, type PodNetwork } from "../../../contracts/pod-network.ts";
import { RT_SCOPE_LINK, RT_SCOPE_UNIVERSE, RTN_UNICAST } from "../../../protocol/netlink/constants.ts";
import type { GuestLink } from "../../guest/link.ts";
import type { PreparationPorts } from "../../guest/preparation.ts";

/** What is slow at first is slow once more, at its undoing. */
const ROUNDS = 2;
const ROUTE = { link: "eth0", scope: RT_SCOPE_UNIVERSE, type: RTN_UNICAST, metric: 0, onlink: false };

/** As the bridge plugin leaves it, with addresses for documentation (RFC 5737, RFC 3849). */
const NETWORK: PodNetwork = {
  links: [
    {
      name: "eth0",
      mac: "02:b1:a2:00:01:00",
      mtu: 1450,
      addresses: [
        { address: "192.0.2.2", prefix: 24, broadcast: "192.0.2.255", scope: RT_SCOPE_UNIVERSE },
        { address: "2001:db8::2", prefix: 64, scope: RT_SCOPE_UNIVERSE },
        { address: "fe80::b1:a2ff:fe00:100", prefix: 64, scope: RT_SCOPE_LINK },
      ],
    },
  ],
  routes: [
    { ...ROUTE, destination: "192.0.2.0/24", source: "192.0.2.2", scope: RT_SCOPE_LINK },
    { ...ROUTE, destination: "198.51.100.0/24", gateway: "192.0.2.3" },
    { ...ROUTE, destination: "0.0.0.0/0", gateway: "192.0.2.1" },
    { ...ROUTE, destination: "2001:db8::/64", metric: 256 },
    { ...ROUTE, destination: "fe80::/64", metric: 256 },
    { ...ROUTE, destination: "::/0", gateway: "2001:db8::1", metric: 1024 },
  ],
  neighbours: [],
  sysctls: { "net/ipv4/conf/eth0/arp_notify": "1" },
};

/** Leaves no network. Throws what the guest says. */
export async function rehearseNetwork(
  guest: Pick<GuestLink, "request">,
  { deadlines }: Pick<PreparationPorts, "deadlines">,
  signal: AbortSignal,
): Promise<void> {
  const limits = { deadlineMs: deadlines.guestRequest, signal };
  for (let round = 0; round < ROUNDS; round++)
    for (const network of [NETWORK, NO_NETWORK]) await guest.request("network.apply", { network }, limits);
}
