/**
 * The networks of the rig's pods, by CNI's plugins (cni.dev/plugins): each kind has a directory with its configuration, and
 * a runtime handler of each runtime that uses it (containerd's `cni_conf_dir`).
 *
 * A kind has addresses of its own, so that an address says where its pod is.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** The link of the node that is on the rig's LAN. */
export const LAN_LINK = "lan0";
/** A plugin of the tests: plugins/commands.mjs. */
export const COMMANDS_PLUGIN = "commands";

type Plugin = Readonly<Record<string, unknown>> & { readonly type: string };

export const KINDS = [
  ...["bridge", "ptp", "macvlan", "two", "odd", "forty"],
  ...["mtu68", "mtu65535", "halfway", "tunnel", "guarded", "tuned", "slow", "plain", "gone", "lonely"],
] as const;
export type Kind = (typeof KINDS)[number];

/** What a kind's pods have of addresses: `10.100.N.0/24` and `fd64:N::/64`. */
function subnets(index: number) {
  return { v4: `10.100.${index}.0/24`, v6: `fd64:${index}::/64` };
}

interface Places {
  /** Where host-local keeps which addresses are taken. */
  readonly addresses: string;
}

const DEFAULT_ROUTES = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];
const PORTMAP: Plugin = { type: "portmap", capabilities: { portMappings: true }, snat: true };
const BANDWIDTH: Plugin = { type: "bandwidth", capabilities: { bandwidth: true } };
/** What the plugin `tuning` sets in the namespace. */
export const TUNED: Readonly<Record<string, string>> = {
  "net.core.somaxconn": "511",
  "net.ipv4.tcp_rmem": "4096 65536 1048576",
  "net.ipv4.tcp_keepalive_time": "600",
  "net.ipv4.conf.all.src_valid_mark": "1",
  "net.ipv4.conf.eth0.rp_filter": "2",
  "net.ipv6.conf.eth0.hop_limit": "33",
};
const FIREWALL: Plugin = { type: "firewall", backend: "iptables" };

function commands(inPod: readonly string[], more: Readonly<Record<string, unknown>> = {}): Plugin {
  return { type: COMMANDS_PLUGIN, inPod, ...more };
}

/** The chains of a kind: one for each interface of the pod. */
function chainsOf(kind: Kind, { addresses }: Places): readonly (readonly Plugin[])[] {
  const index = KINDS.indexOf(kind);
  const ipam = (which: "both" | "v4", at = index) => {
    const { v4, v6 } = subnets(at);
    const ranges = which === "both" ? [[{ subnet: v4 }], [{ subnet: v6 }]] : [[{ subnet: v4 }]];
    const routes = which === "both" ? DEFAULT_ROUTES : DEFAULT_ROUTES.slice(0, 1);
    return { type: "host-local", dataDir: addresses, ranges, routes };
  };
  const ptp: Plugin = { type: "ptp", ipMasq: true, ipam: ipam("both") };
  const bridge = { type: "bridge", bridge: `br-${kind}`, isGateway: true, ipMasq: true, hairpinMode: true };
  switch (kind) {
    case "bridge":
      return [[{ ...bridge, ipam: ipam("both") }, PORTMAP, FIREWALL, BANDWIDTH]];
    case "tuned":
      return [
        [
          { ...bridge, ipam: ipam("both") },
          { type: "tuning", mac: "c2:11:22:33:44:55", mtu: 1400, sysctl: TUNED },
        ],
      ];
    case "ptp":
      return [[ptp, PORTMAP]];
    case "macvlan":
      return [[{ type: "macvlan", master: LAN_LINK, mode: "bridge", ipam: lanAddresses(addresses) }]];
    case "two":
      return [
        [{ ...bridge, ipam: ipam("both") }],
        [{ type: "ptp", ipam: { ...ipam("v4", 50), routes: [] } }],
      ];
    case "odd":
      return [[ptp, commands(ODD)]];
    case "forty":
      return [[ptp, commands(forty())]];
    case "mtu68":
      return [[{ ...ptp, mtu: 68, ipam: ipam("v4") }]];
    case "mtu65535":
      return [[{ ...ptp, mtu: 65_535 }]];
    case "halfway":
      return [
        [ptp, commands(["ip address add 10.1.1.1/32 dev eth0"], { fail: "this plugin fails on purpose" })],
      ];
    case "tunnel":
      return [[ptp, commands(["ip tuntap add dev tunnel0 mode tun", "ip link set tunnel0 up"])]];
    case "gone":
      return [[ptp, commands([], { onHost: ["umount --lazy NETNS && rm -f NETNS"] })]];
    case "lonely":
      return [[ptp, commands(["ip link del eth0"])]];
    case "plain":
      return [[{ type: "ptp", ipam: ipam("v4") }]];
    case "slow": {
      const limits = { ingressRate: 8e6, ingressBurst: 8e6, egressRate: 8e6, egressBurst: 8e6 };
      return [[ptp, { type: "bandwidth", ...limits }]];
    }
    case "guarded":
      return [[{ ...bridge, macspoofchk: true, ipam: ipam("both") }]];
  }
}

/** What plugins may make beside one address and its routes. */
const ODD = [
  "ip address add 10.100.77.1/24 dev eth0",
  "ip address add 10.100.77.2/24 dev eth0",
  "ip address add 10.100.78.1 peer 10.100.78.2 dev eth0",
  "ip route add 10.200.1.0/24 dev eth0 mtu 1200",
  "ip route add 10.200.2.0/24 via 10.100.77.9 metric 7",
  "ip route add 10.200.3.0/24 via 10.222.0.1 dev eth0 onlink",
  "ip route add blackhole 10.200.4.0/24",
  "ip route add unreachable 10.200.5.0/24",
  "ip route add fd99:1::/64 dev eth0 mtu 1300",
  "ip route add 10.200.6.0/24 dev eth0 src 10.100.77.2",
  "ip neighbour add 10.100.77.9 lladdr 02:00:00:00:00:99 dev eth0 nud permanent",
  "ip neighbour add fd99:1::9 lladdr 02:00:00:00:00:99 dev eth0 nud permanent",
];

function forty(): string[] {
  return Array.from({ length: 40 }, (_, each) => `ip address add 10.101.${each}.1/24 dev eth0`);
}

/** The rig's LAN, beside what {@link NetworkRig} takes of it. */
function lanAddresses(dataDir: string): Readonly<Record<string, unknown>> {
  const ranges = [
    [{ subnet: "10.90.0.0/24", rangeStart: "10.90.0.100", rangeEnd: "10.90.0.199", gateway: "10.90.0.2" }],
    [{ subnet: "fd90::/64", rangeStart: "fd90::100", rangeEnd: "fd90::1ff", gateway: "fd90::2" }],
  ];
  return { type: "host-local", dataDir, ranges, routes: DEFAULT_ROUTES };
}

/** The name of a kind's network, for each of its interfaces. */
export function networkName(kind: Kind, interfaceIndex = 0): string {
  return `blazar-${kind}-${interfaceIndex}`;
}

/** A directory of a kind's configuration, and for how many interfaces. */
export interface KindDirectory {
  readonly kind: Kind;
  readonly directory: string;
  readonly interfaces: number;
}

/** Writes the configuration of every kind into a directory. */
export async function writeKinds(directory: string): Promise<KindDirectory[]> {
  const made = KINDS.map(async (kind) => {
    const own = join(directory, kind);
    await mkdir(own, { recursive: true });
    const chains = chainsOf(kind, { addresses: join(directory, "addresses") });
    for (const [index, plugins] of chains.entries()) {
      const list = { cniVersion: "1.0.0", name: networkName(kind, index), plugins };
      await writeFile(join(own, `1${index}.conflist`), JSON.stringify(list));
    }
    return { kind, directory: own, interfaces: chains.length };
  });
  return Promise.all(made);
}
