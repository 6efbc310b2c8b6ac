/**
 * A private node in a network of its own: the node's namespace, a LAN behind it with one more machine, CNI networks.
 *
 *     outside 10.90.0.2, fd90::2 ── eth0 ═ lan0 ── 10.90.0.1, fd90::1 node (containerd, blazard, bridges)
 *
 * Nothing of it touches the machine's own links: all of it is in namespaces that end with the rig.
 */
import { once } from "node:events";
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { repoRoot } from "../../setup/lib/paths.ts";
import type { Dial } from "../cri/streaming.ts";
import type { Handler } from "../fidelity/handler-pod.ts";
import { type Busybox, busyboxImage, pauseImage } from "../images/busybox.ts";
import { blazarHandler, runcHandler } from "../node/containerd-config.ts";
import { NetworkNamespace } from "../node/network-namespace.ts";
import { removeAllPods } from "../node/pods.ts";
import { PrivateNode, type PrivateNodeOptions } from "../node/private-node.ts";
import { COMMANDS_PLUGIN, type Kind, type KindDirectory, LAN_LINK, writeKinds } from "./kinds.ts";
import { buildNetprobe } from "./netprobe.ts";

/** What the rig's pods run: busybox, and netprobe in /bin. */
export const IMAGE = "localhost/blazar/network:latest";
export const NODE = { v4: "10.90.0.1", v6: "fd90::1" } as const;
export const OUTSIDE = { v4: "10.90.0.2", v6: "fd90::2" } as const;

export interface NetworkRigOptions
  extends Pick<PrivateNodeOptions, "program" | "containerd" | "config" | "node"> {
  readonly busybox: Busybox;
  readonly stateInMemory?: boolean;
}

export class NetworkRig {
  private started: PrivateNode | undefined;

  private constructor(
    /** The rig's own files, beside the node's. */
    readonly directory: string,
    /** The node's own network. */
    readonly host: NetworkNamespace,
    /** Another machine of the LAN. */
    readonly outside: NetworkNamespace,
  ) {}

  static async start(options: NetworkRigOptions): Promise<NetworkRig> {
    const directory = await mkdtemp(join(tmpdir(), "blazar-net-"));
    await chmod(directory, 0o711);
    const rig = new NetworkRig(directory, await NetworkNamespace.make(), await NetworkNamespace.make());
    try {
      await rig.startAll(options);
      return rig;
    } catch (error) {
      await rig.stop();
      throw error;
    }
  }

  get node(): PrivateNode {
    if (this.started === undefined) throw new Error("the rig has no node");
    return this.started;
  }

  /** The program of the tests, for the host's side. */
  get netprobe(): string {
    return join(this.directory, "netprobe");
  }

  /** The runtime handler for pods of a kind of network. */
  handlerFor(handler: Handler, kind: Kind | "host"): string {
    return kind === "host" ? handler : `${handler}-${kind}`;
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
    await Promise.race([once(child.stdout ?? child, "data"), once(child, "exit")]);
    return async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const closed = once(child, "close");
        child.kill("SIGKILL");
        await closed;
      }
      return printed;
    };
  }

  async stop(): Promise<void> {
    try {
      if (this.started !== undefined) await removeAllPods(this.started.cri).catch(() => undefined);
      await this.started?.stop();
    } finally {
      await this.endRelay?.();
      await this.outside.end();
      await this.host.end();
      await rm(this.directory, { recursive: true, force: true });
    }
  }

  private endRelay: (() => Promise<string>) | undefined;

  private async startAll(options: NetworkRigOptions): Promise<void> {
    await copyFile(await buildNetprobe(), this.netprobe);
    await this.wire();
    const kinds = await writeKinds(join(this.directory, "cni"));
    const plugins = await this.writePlugin();
    const socket = join(this.directory, "dial.sock");
    this.endRelay = await this.serve(this.host, "relay", socket);
    const dial: Dial = ({ port }) => {
      const connection = createConnection(socket);
      connection.write(`127.0.0.1 ${port}\n`);
      return connection;
    };
    const { busybox, ...node } = options;
    const shims = join(dirname(dirname(options.program)), "deploy");
    this.started = await PrivateNode.start({
      ...node,
      prefix: "blazar-net-node-",
      network: { namespace: this.host, dial },
      cniPlugins: [plugins],
      containerdConfig: (containerdDirectory) => handlerTables(kinds, shims, containerdDirectory),
    });
    await this.importImages(busybox);
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
    await host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
  }

  private async writePlugin(): Promise<string> {
    const directory = join(this.directory, "plugins");
    await mkdir(directory);
    const program = join(repoRoot(), "lab", "network", "plugins", "commands.mjs");
    const file = join(directory, COMMANDS_PLUGIN);
    await writeFile(file, `#!/bin/sh\nexec '${process.execPath}' '${program}'\n`, { mode: 0o755 });
    return directory;
  }

  private async importImages(busybox: Busybox): Promise<void> {
    const image = await busyboxImage(IMAGE, busybox);
    const probe = [{ path: "bin/netprobe", content: await readFile(this.netprobe), mode: 0o755 }];
    await this.node.containerd.importImage({ ...image, layers: [...image.layers, probe] });
    await this.node.containerd.importImage(pauseImage(image));
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
