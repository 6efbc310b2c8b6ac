/**
 * Which kernel modules the guest gets, and in which order they load (modinfo's `depends` and `softdep`,
 * modules.builtin(5)).
 *
 * Debian's package has no modules.dep, which depmod writes on installation; so the dependencies are read from the modules
 * themselves. The agent loads the wanted modules in the order given here. Those on demand wait for the kernel to ask.
 * Must not add a module that none of both needs.
 */
import { type BlazarError, blazarError } from "../../src/contracts/errors.ts";

/** The modules that a guest needs. The console comes first, so that the agent can answer before the rest is loaded. */
export const WANTED_MODULES: readonly string[] = [
  // ring, then virtio, then the transport: without built-in transports, the order matters
  "virtio_ring",
  "virtio",
  "virtio_mmio",
  "virtio_console",
  // the pod's network cards, the shares, with layers and volumes, and the guest's own overlay on layers: set-up needs them
  "virtio_net",
  "fuse",
  "overlay",
  // the writable layer's disk; ext4 asks for a crc32c implementation when it mounts
  "virtio_scsi",
  "sd_mod",
  "crc32c_generic",
  "ext4",
  // images of read-only layers
  "erofs",
  // entropy for clones
  "virtio_rng",
  // tells the VMM which memory is free
  "virtio_balloon",
];

const words = (text: string): string[] => text.split(/\s+/);

/** `ip link add … type …`, /dev/net/tun, and a bridge whose frames pass the packet filter. */
const LINKS = words(
  "bridge br_netfilter dummy ifb ip_gre ipip ipvlan macvlan sit tun veth vxlan wireguard 8021q",
);

/** Packet sockets, which Debian has in its kernel, and what ss(8) and conntrack(8) ask. */
const SOCKETS = words("af_packet nf_conntrack_netlink tcp_diag udp_diag unix_diag");

/** nft(8), and iptables-nft(8) over it. */
const NFTABLES = words(
  "compat chain_nat ct fib_inet limit log masq nat numgen quota redir reject_inet socket tproxy",
).map((name) => `nft_${name}`);

/** Matches and targets of iptables-nft(8), and sets. iptables-legacy(8) would need its tables loaded before it runs. */
const XTABLES = [
  ...words(
    "addrtype comment connmark conntrack CT hashlimit iprange limit LOG mac mark MASQUERADE multiport nat",
  ),
  ...words("NFLOG owner physdev recent REDIRECT set socket state statistic string TCPMSS tcpudp TPROXY"),
].map((name) => `xt_${name}`);
const REJECTING = words(
  "ipt_REJECT ip6t_REJECT nf_log_syslog ip_set_hash_ip ip_set_hash_ipport ip_set_hash_net",
);

/** kube-proxy(8) with IPVS, and tc(8). */
const TRAFFIC = words(
  "ip_vs ip_vs_rr ip_vs_sh ip_vs_wrr act_mirred cls_bpf cls_u32 sch_htb sch_ingress sch_netem sch_tbf tcp_bbr",
);

/**
 * Modules that the kernel loads when a container asks for what they do, as a host's kernel would. They are
 * compressed in the initramfs: all of them cost a guest 2.5 MB of memory, and no time at boot.
 */
export const MODULES_ON_DEMAND: readonly string[] = [
  ...LINKS,
  ...SOCKETS,
  ...NFTABLES,
  ...XTABLES,
  ...REJECTING,
  ...TRAFFIC,
];

/** The modules of an unpacked kernel package. */
export interface ModuleSource {
  /** Names of modules that are part of the kernel image. */
  readonly builtin: ReadonlySet<string>;
  /** File of each module by name. */
  readonly files: ReadonlyMap<string, string>;
  /** Reads a module's bytes. */
  read(file: string): Promise<Buffer>;
}

/** A module's name: file names use `-` and `_` at will, the kernel only `_`. */
export function moduleName(file: string): string {
  const base = file.slice(file.lastIndexOf("/") + 1);
  return base.replace(/\.ko$/, "").replaceAll("-", "_");
}

/** The names in modules.builtin. */
export function parseBuiltin(text: string): Set<string> {
  return new Set(
    text
      .split("\n")
      .filter((line) => line !== "")
      .map(moduleName),
  );
}

/** A key's values in a module's .modinfo section, which is a run of NUL-terminated `key=value`. */
export function modinfo(module: Buffer, key: string): string[] {
  const needle = Buffer.from(`\0${key}=`);
  const values: string[] = [];
  for (let at = module.indexOf(needle); at >= 0; at = module.indexOf(needle, at + 1)) {
    const start = at + needle.length;
    values.push(module.toString("latin1", start, module.indexOf(0, start)));
  }
  return values;
}

/** The files of the wanted modules and all they need, each after what it depends on. */
export async function loadOrder(source: ModuleSource, wanted: readonly string[]): Promise<string[]> {
  const order: string[] = [];
  const seen = new Set<string>();
  const add = async (name: string, neededBy: string): Promise<void> => {
    if (source.builtin.has(name) || seen.has(name)) return;
    seen.add(name);
    const file = source.files.get(name);
    if (file === undefined) throw missing(name, neededBy);
    for (const dependency of await dependencies(source, file)) await add(dependency, name);
    order.push(file);
  };
  for (const name of wanted) await add(name, "the guest");
  return order;
}

/** What modprobe(8) reads: each module's dependencies, and the names that the kernel asks for. */
export interface ModuleTables {
  /** modules.dep(5), the base names of files. */
  readonly dependencies: string;
  /** modules.alias. */
  readonly aliases: string;
}

/** The tables for these modules. Whatever else they need must have been loaded by then. */
export async function moduleTables(source: ModuleSource, names: readonly string[]): Promise<ModuleTables> {
  const dependencies: string[] = [];
  const aliases: string[] = [];
  for (const name of names) {
    const needed = await loadOrder(source, [name]);
    const files = needed.filter((file) => names.includes(moduleName(file))).map(baseName);
    // modprobe loads the last one first
    dependencies.push(`${files.at(-1)}: ${files.slice(0, -1).reverse().join(" ")}`.trimEnd());
    const module = await source.read(source.files.get(name) ?? "");
    for (const alias of modinfo(module, "alias")) aliases.push(`alias ${alias} ${name}`);
  }
  const text = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join("");
  return { dependencies: text(dependencies), aliases: text(aliases) };
}

function baseName(file: string): string {
  return file.slice(file.lastIndexOf("/") + 1);
}

/** A module's hard dependencies, and its soft ones (`pre:`) that name a module and not an alias. */
async function dependencies(source: ModuleSource, file: string): Promise<string[]> {
  const module = await source.read(file);
  const hard = modinfo(module, "depends").flatMap((list) => list.split(",").filter((name) => name !== ""));
  const soft = modinfo(module, "softdep")
    .flatMap((rule) => /pre:\s*([^:]*?)(?:\s+post:|$)/.exec(rule)?.[1]?.split(/\s+/) ?? [])
    .map(moduleName)
    .filter((name) => source.files.has(name));
  return [...soft, ...hard.map(moduleName)];
}

function missing(name: string, neededBy: string): BlazarError {
  return blazarError(
    "DependencyMissing",
    "choose the guest's kernel modules",
    `needed by ${neededBy}, but the kernel package has no such module`,
    { subject: name, remedy: "check the list in guest/image/modules.ts against the kernel's version" },
  );
}
