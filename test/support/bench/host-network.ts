/**
 * Pods with hostNetwork in network namespaces of a test's own: a node, what is outside of it, and guests.
 *
 * The keeper runs in the node's namespace, so pasta has that one's network. A guest is a namespace with a link whose other end
 * stands for the VM's tap. Nothing of the host's own network is touched.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../../lab/host/until.ts";
import { buildNetprobe } from "../../../lab/network/netprobe.ts";
import { artifacts } from "../../../setup/steps/artifacts.ts";
import { VmUsers } from "../../../src/actors/vm/users.ts";
import type { Keeper } from "../../../src/contracts/keeper.ts";
import { silentLogger } from "../../../src/contracts/logger.ts";
import type { NetworkAhead, NetworkedPod } from "../../../src/contracts/network.ts";
import type { PodNetwork } from "../../../src/contracts/pod-network.ts";
import type { PodPort } from "../../../src/contracts/sandbox.ts";
import type { Vm } from "../../../src/contracts/vm.ts";
import { connectKeeper } from "../../../src/host/keeper/client.ts";
import { startKeeper } from "../../../src/host/keeper/process.ts";
import {
  HostNetworks,
  type HostNetworksOptions,
} from "../../../src/host/network/host-network/host-networks.ts";
import { joinUplink, readHostNetwork } from "../../../src/workers/network/tasks.ts";
import { unwrap } from "../../../src/workers/outcome.ts";
import { CapturedLogger } from "../captured-logger.ts";
import { Namespaces, type TestNamespace } from "../network/namespaces.ts";
import { endProcess, keeperBinary } from "./keeper.ts";

const FIRST_UID = 62_000;
const READY = /listening|ready/i;
/** How long a program may take that is answered, and how long is listened for an answer that must not come. */
const [ANSWERED_MS, UNANSWERED_MS] = [20_000, 4_000];

export interface NodeNetwork {
  readonly v4?: boolean;
  readonly v6?: boolean;
  readonly defaultRoute?: boolean;
  readonly resolvConf?: string;
  /** `ping_group_range` of icmp(7). */
  readonly pingGroups?: string;
}

export const ADDRESSES = {
  node: { v4: "10.91.0.1", v6: "fd91::1" },
  outside: { v4: "10.91.0.2", v6: "fd91::2" },
} as const;

/** A port of both numbers. */
export function port(number: number, protocol: PodPort["protocol"] = "tcp", hostIp = ""): PodPort {
  return { protocol, containerPort: number, hostPort: number, hostIp };
}

export class HostNetworkBench {
  readonly log = new CapturedLogger();
  readonly servers: ChildProcess[] = [];
  private guests = 0;

  private constructor(
    readonly directory: string,
    private readonly namespaces: Namespaces,
    readonly node: TestNamespace,
    readonly outside: TestNamespace,
    private readonly parking: TestNamespace,
    public keeperPid: number,
    readonly keeper: Keeper,
    readonly netprobe: string,
    private readonly resolvConf: string,
    public networks: HostNetworks,
  ) {}

  static async start(network: NodeNetwork = {}): Promise<HostNetworkBench> {
    const directory = await mkdtemp(join(tmpdir(), "blazar-uplink-"));
    await chmod(directory, 0o711);
    const namespaces = new Namespaces();
    const [node, outside, parking] = ["node", "out", "park"].map((name) => namespaces.make(name));
    if (node === undefined || outside === undefined || parking === undefined)
      throw new Error("no namespaces");
    connectNode(node, outside, network);
    const binary = join(directory, "keeper");
    await writeFile(binary, `#!/bin/sh\nexec nsenter --net=${node.path} ${await keeperBinary()} "$@"\n`);
    await chmod(binary, 0o755);
    const { pid } = await startKeeper(keeperIn(directory));
    const keeper = await connectKeeper(keeperIn(directory));
    const { resolvConf = "" } = network;
    const unset = undefined as unknown as HostNetworks;
    const probe = await buildNetprobe();
    const bench = new HostNetworkBench(
      ...[directory, namespaces, node, outside, parking, pid, keeper, probe, resolvConf, unset],
    );
    bench.networks = bench.newNetworks();
    return bench;
  }

  /** As a daemon that was started anew would have them. */
  newNetworks(changes: Partial<HostNetworksOptions> = {}): HostNetworks {
    const { keeper, directory, log, resolvConf } = this;
    const run = async (name: string, input: never) =>
      (name === "joinUplink" ? unwrap(await joinUplink(input)) : unwrap(readHostNetwork(input))) as never;
    return new HostNetworks({
      keeper,
      workers: { run },
      directory: join(directory, "uplinks"),
      startMs: 10_000,
      logger: log,
      program: artifacts().passt ?? "",
      users: new VmUsers(FIRST_UID, 100),
      hostResolvConf: async () => resolvConf,
      enterGroups: async (procs, pid) => {
        for (const path of procs) await writeFile(path, String(pid));
      },
      ...changes,
    });
  }

  pod(id: string, ports: readonly PodPort[] = []): NetworkedPod {
    const dns = { servers: [], searches: [], options: [] };
    return { id, name: id, namespace: "default", netnsPath: "", ports, dns };
  }

  /** Reads the network, connects a guest and gives it what it is told. */
  async connect(pod: NetworkedPod): Promise<{ guest: TestNamespace; network: PodNetwork }> {
    const network = await this.networks.read(pod);
    const { guest, vm } = this.guest(network);
    await this.networks.connect(vm, pod, network, []);
    return { guest, network };
  }

  /** Connects a guest before there is a pod. */
  async connectAhead(id: string): Promise<{ guest: TestNamespace; ahead: NetworkAhead }> {
    const network = await this.networks.ahead.read();
    const { guest, vm } = this.guest(network);
    return { guest, ahead: await this.networks.ahead.connect(vm, id, network) };
  }

  /** A guest that has all of its network but the wire. */
  guest(network: PodNetwork): { guest: TestNamespace; vm: Vm } {
    const guest = this.namespaces.make("guest");
    const tap = `nic${this.guests++}`;
    const [link] = network.links;
    if (link === undefined) throw new Error("a network without a link");
    const { name, mac, mtu, addresses } = link;
    guest.ip(
      `link add ${name} mtu ${mtu} address ${mac} type veth peer name ${tap} netns ${this.parking.name}`,
    );
    guest.ip(`link set ${name} addrgenmode none`);
    for (const { address, prefix } of addresses)
      guest.ip(`addr add ${address}/${prefix} dev ${name}${address.includes(":") ? " nodad" : ""}`);
    guest.ip(`link set ${name} up`);
    for (const { destination, gateway, onlink } of network.routes)
      guest.ip(
        `${destination.includes(":") ? "-6 " : ""}route add ${destination}${gateway === undefined ? "" : ` via ${gateway}`} dev ${name}${onlink ? " onlink" : ""}`,
      );
    const vm = { nics: [{ tap, namespace: this.parking.path }] } as unknown as Vm;
    return { guest, vm };
  }

  /** Starts a server, which is ended with the bench. */
  async serve(where: TestNamespace, ...words: string[]): Promise<void> {
    const child = spawn("nsenter", [`--net=${where.path}`, this.netprobe, ...words], { stdio: "pipe" });
    this.servers.push(child);
    const said = once(child.stdout, "data").then(([bytes]) => READY.test(String(bytes)));
    await Promise.race([said, new Promise((resolve) => setTimeout(resolve, 300))]);
  }

  /** What a program says, its failure too. */
  async try(where: TestNamespace, ...words: string[]): Promise<string> {
    return this.program(where, this.netprobe, words);
  }

  /** What a program says in {@link UNANSWERED_MS}, for what must not be answered: an answer would come at once. */
  async tryInVain(where: TestNamespace, ...words: string[]): Promise<string> {
    return this.program(where, this.netprobe, words, UNANSWERED_MS);
  }

  ping(where: TestNamespace, to: string): Promise<string> {
    const { binary } = artifacts().busybox;
    return this.program(where, binary, [to.includes(":") ? "ping6" : "ping", "-c1", "-W2", to]);
  }

  private async program(
    where: TestNamespace,
    program: string,
    words: readonly string[],
    timeout = ANSWERED_MS,
  ): Promise<string> {
    const child = spawn("nsenter", [`--net=${where.path}`, program, ...words], { stdio: "pipe", timeout });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += String(chunk)));
    await once(child, "close");
    return said.trim();
  }

  /** The pid of a pod's helper; undefined if there is none. */
  helper(id: string): number | undefined {
    const { processes } = this.keeper.inventory();
    return processes.find((one) => one.id === `${id}.pasta` && one.exit === undefined)?.identity.pid;
  }

  /** What is left of uplinks: processes, directories, descriptors of namespaces that the keeper holds. */
  async left(): Promise<unknown> {
    const { processes } = this.keeper.inventory();
    const fds = await readdir(`/proc/${this.keeperPid}/fd`);
    const links = await Promise.all(
      fds.map((fd) => readlink(`/proc/${this.keeperPid}/fd/${fd}`).catch(() => "")),
    );
    return {
      processes: processes.map(({ id }) => id),
      directories: await readdir(join(this.directory, "uplinks")).catch(() => []),
      users: links.filter((link) => link.startsWith("user:")).length,
    };
  }

  /** The keeper dies, and another one takes its place; the daemon's client goes on. */
  async replaceKeeper(): Promise<void> {
    await endProcess(this.keeperPid);
    this.keeperPid = (await startKeeper(keeperIn(this.directory))).pid;
    await until("the next keeper", async () =>
      this.keeper.connected && this.keeper.pid === this.keeperPid ? true : undefined,
    );
    await this.keeper.ping();
  }

  async status(pid: number): Promise<string> {
    return readFile(`/proc/${pid}/status`, "utf8");
  }

  async close(): Promise<void> {
    for (const server of this.servers.splice(0)) server.kill("SIGKILL");
    for (const { id, exit } of this.keeper.inventory().processes)
      if (exit === undefined) await this.keeper.signal(id, 9).catch(() => undefined);
    await this.keeper.close();
    await endProcess(this.keeperPid);
    this.namespaces.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** How the keeper of a bench is started and reached. */
function keeperIn(directory: string) {
  const [control = "", task = ""] = ["keeper.sock", "task.sock"].map((name) => join(directory, name));
  return { binary: join(directory, "keeper"), control, task, log: silentLogger };
}

function connectNode(
  node: TestNamespace,
  outside: TestNamespace,
  { v4 = true, v6 = true, defaultRoute = true, pingGroups = "0 2147483647" }: NodeNetwork,
): void {
  const ends = [
    { namespace: node, link: "ens3", own: ADDRESSES.node, other: ADDRESSES.outside },
    { namespace: outside, link: "out0", own: ADDRESSES.outside, other: ADDRESSES.node },
  ];
  node.ip(`link add ens3 type veth peer name out0 netns ${outside.name}`);
  for (const { namespace, link, own } of ends) {
    if (v4) namespace.ip(`addr add ${own.v4}/24 dev ${link}`);
    if (v6) namespace.ip(`addr add ${own.v6}/64 dev ${link} nodad`);
    namespace.run("sysctl", ["-qw", `net.ipv4.ping_group_range=${pingGroups}`]);
    namespace.run("sysctl", ["-qw", `net.ipv6.conf.${link}.accept_dad=0`]);
    namespace.ip(`link set ${link} up`);
  }
  if (!defaultRoute) return;
  if (v4) node.ip(`route add default via ${ADDRESSES.outside.v4}`);
  if (v6) node.ip(`-6 route add default via ${ADDRESSES.outside.v6}`);
}
