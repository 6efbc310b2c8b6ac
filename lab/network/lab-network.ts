/**
 * A network for a private node: the node's own namespace, a LAN behind it with one more machine, CNI networks.
 *
 *     outside 10.90.0.2, fd90::2 ── eth0 ═ lan0 ── 10.90.0.1, fd90::1 node (containerd, blazard, bridges)
 *
 * Nothing of it touches the machine's own links: all of it is in namespaces that end with it.
 */
import { once } from "node:events";
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { repoRoot } from "../../setup/lib/paths.ts";
import type { Dial } from "../cri/streaming.ts";
import type { Handler } from "../fidelity/handler-pod.ts";
import { type Busybox, busyboxImage } from "../images/busybox.ts";
import type { ImageSpec } from "../images/image-builder.ts";
import { blazarHandler, runcHandler } from "../node/containerd-config.ts";
import { NetworkNamespace } from "../node/network-namespace.ts";
import type { PrivateNodeOptions } from "../node/private-node.ts";
import { COMMANDS_PLUGIN, type Kind, type KindDirectory, LAN_LINK, writeKinds } from "./kinds.ts";
import { buildNetprobe } from "./netprobe.ts";

export const NODE = { v4: "10.90.0.1", v6: "fd90::1" } as const;
export const OUTSIDE = { v4: "10.90.0.2", v6: "fd90::2" } as const;

/** The runtime handler for pods of a kind of network; pods of `host` have the handler itself. */
export function handlerFor(handler: Handler, kind: Kind | "host"): string {
  return kind === "host" ? handler : `${handler}-${kind}`;
}

export class LabNetwork {
  private kinds: readonly KindDirectory[] = [];
  private readonly serving = new Set<() => Promise<string>>();
  private endRelay: (() => Promise<string>) | undefined;

  private constructor(
    /** Its own files, beside the node's. */
    readonly directory: string,
    /** The node's own network. */
    readonly host: NetworkNamespace,
    /** Another machine of the LAN. */
    readonly outside: NetworkNamespace,
  ) {}

  static async make(): Promise<LabNetwork> {
    const directory = await mkdtemp(join(tmpdir(), "blazar-net-"));
    await chmod(directory, 0o711);
    const network = new LabNetwork(directory, await NetworkNamespace.make(), await NetworkNamespace.make());
    try {
      await copyFile(await buildNetprobe(), network.netprobe);
      await network.wire();
      network.kinds = await writeKinds(join(directory, "cni"));
      await network.writePlugin();
      network.endRelay = await network.serve(network.host, "relay", network.socket);
      return network;
    } catch (error) {
      await network.end();
      throw error;
    }
  }

  /** The program of the tests, for the host's side. */
  get netprobe(): string {
    return join(this.directory, "netprobe");
  }

  /** What a node needs to be in it. @param program the bundled product */
  nodeOptions(program: string): Pick<PrivateNodeOptions, "network" | "cniPlugins"> & {
    readonly containerdConfig: (directory: string) => string;
  } {
    const dial: Dial = ({ port }) => {
      const connection = createConnection(this.socket);
      connection.write(`127.0.0.1 ${port}\n`);
      return connection;
    };
    const shims = join(dirname(dirname(program)), "deploy");
    return {
      network: { namespace: this.host, dial },
      cniPlugins: [this.plugins],
      containerdConfig: (directory) => handlerTables(this.kinds, shims, directory),
    };
  }

  /** An image of busybox with netprobe in /bin. */
  async image(name: string, busybox: Busybox): Promise<ImageSpec> {
    const image = await busyboxImage(name, busybox);
    const probe = [{ path: "bin/netprobe", content: await readFile(this.netprobe), mode: 0o755 }];
    return { ...image, layers: [...image.layers, probe] };
  }

  /** Runs netprobe in a namespace; what it prints. A failure is an answer as well. */
  async probe(where: NetworkNamespace, ...args: readonly string[]): Promise<string> {
    const { stdout, stderr } = await where.toEnd(this.netprobe, ...args);
    return `${stdout}${stderr}`.trimEnd();
  }

  /** Starts netprobe in a namespace; resolves when it listens. Returns how to end it, which tells what it has printed. */
  async serve(where: NetworkNamespace, ...args: readonly string[]): Promise<() => Promise<string>> {
    const child = where.start(this.netprobe, ...args);
    let printed = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      printed += text;
    });
    const end = async () => {
      this.serving.delete(end);
      if (child.exitCode === null && child.signalCode === null) {
        const closed = once(child, "close");
        child.kill("SIGKILL");
        await closed;
      }
      return printed;
    };
    this.serving.add(end);
    await Promise.race([once(child.stdout ?? child, "data"), once(child, "exit")]);
    return end;
  }

  /** Ends whatever {@link serve} has started and nobody has ended. */
  async endServers(): Promise<void> {
    await Promise.all([...this.serving].filter((end) => end !== this.endRelay).map((end) => end()));
  }

  /** The node in it must have been stopped. */
  async end(): Promise<void> {
    await Promise.all([...this.serving].map((end) => end()));
    await this.outside.end();
    await this.host.end();
    await rm(this.directory, { recursive: true, force: true });
  }

  private get socket(): string {
    return join(this.directory, "dial.sock");
  }

  private get plugins(): string {
    return join(this.directory, "plugins");
  }

  /** The LAN, and forwarding as Kubernetes wants it. */
  private async wire(): Promise<void> {
    const { host, outside } = this;
    await host.ip(
      `link add ${LAN_LINK} type veth peer name eth0 netns ${outside.pid}`,
      `address add ${NODE.v4}/24 dev ${LAN_LINK}`,
      `address add ${NODE.v6}/64 dev ${LAN_LINK} nodad`,
      `link set ${LAN_LINK} up`,
      `route add default via ${OUTSIDE.v4}`,
      `route add ::/0 via ${OUTSIDE.v6}`,
    );
    await outside.ip(
      `address add ${OUTSIDE.v4}/24 dev eth0`,
      `address add ${OUTSIDE.v6}/64 dev eth0 nodad`,
      "link set eth0 up",
      `route add default via ${NODE.v4}`,
      `route add ::/0 via ${NODE.v6}`,
    );
    await host.write("net.ipv4.ip_forward", "1");
    await host.write("net.ipv6.conf.all.forwarding", "1");
    // as systemd sets it: pasta sends a guest's ICMP echo as a plain user
    await host.write("net.ipv4.ping_group_range", "0\t2147483647");
  }

  private async writePlugin(): Promise<void> {
    await mkdir(this.plugins);
    const program = join(repoRoot(), "lab", "network", "plugins", "commands.mjs");
    const file = join(this.plugins, COMMANDS_PLUGIN);
    await writeFile(file, `#!/bin/sh\nexec '${process.execPath}' '${program}'\n`, { mode: 0o755 });
  }
}

function handlerTables(kinds: readonly KindDirectory[], shims: string, containerd: string): string {
  return kinds
    .map(({ kind, directory, interfaces }) => {
      const keys = `    cni_conf_dir = '${directory}'\n    cni_max_conf_num = ${interfaces}\n`;
      return blazarHandler(`blazar-${kind}`, shims, keys) + runcHandler(`runc-${kind}`, containerd, keys);
    })
    .join("");
}
