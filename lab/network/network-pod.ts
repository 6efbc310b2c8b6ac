/**
 * A pod on one of the rig's networks, with a container that serves on every kind of address, and what the host knows of it.
 *
 * What the pod's addresses are differs from pod to pod: {@link NetworkPod.tidy} replaces them by names.
 */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { NamespaceMode, PodSandboxConfig, PodSandboxState } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { execText } from "../cri/commands.ts";
import type { ContainerConfig, Handler, PodConfig } from "../fidelity/handler-pod.ts";
import { until } from "../host/until.ts";
import { NetworkNamespace } from "../node/network-namespace.ts";
import { removePod } from "../node/pods.ts";
import { type Kind, networkName } from "./kinds.ts";
import { handlerFor } from "./lab-network.ts";
import { IMAGE, type NetworkRig } from "./rig.ts";

/** Ports of the container that every pod of the tests has. */
export const PORTS = { tcp: 8080, udp: 8081, local4: 8090, local6: 8091, refused: 8099 } as const;
const SERVERS = [
  `netprobe serve :: ${PORTS.tcp} pod &`,
  `netprobe serve-udp :: ${PORTS.udp} pod &`,
  `netprobe serve 127.0.0.1 ${PORTS.local4} local4 &`,
  `netprobe serve ::1 ${PORTS.local6} local6 &`,
  "exec sleep 2147483647",
].join("\n");
/** Where CNI's library keeps what plugins have made. */
const CNI_RESULTS = "/var/lib/cni/results";

interface CniResult {
  readonly interfaces?: readonly { name: string; mac: string; sandbox?: string }[];
  readonly ips?: readonly { address: string; interface?: number; gateway?: string }[];
}

/** For {@link NetworkPod.show}. */
const SETTLED = { timeoutMs: 30_000, pollMs: 100 };

let count = 0;

export class NetworkPod {
  /** The container that serves. */
  main = "";

  private constructor(
    readonly rig: NetworkRig,
    readonly id: string,
    readonly config: PodConfig,
    readonly kind: Kind | "host",
    /** Of the pod, by CRI's status; "" if it has none. */
    readonly v4: string,
    readonly v6: string,
    private readonly netnsPath: string,
  ) {}

  /** Runs a pod and its container. @param more fields of the pod's configuration */
  static async start(
    rig: NetworkRig,
    handler: Handler,
    kind: Kind | "host",
    more: PodConfig = {},
    container: ContainerConfig = {},
  ): Promise<NetworkPod> {
    const name = `net-${++count}`;
    const logDirectory = join(rig.node.directory, "logs", name);
    await mkdir(logDirectory, { recursive: true });
    const network = kind === "host" ? NamespaceMode.NODE : NamespaceMode.POD;
    const namespaceOptions = { network, pid: NamespaceMode.CONTAINER };
    const config = PodSandboxConfig.fromPartial({
      metadata: { name, uid: `uid-${name}`, namespace: "default", attempt: 0 },
      logDirectory,
      ...more,
      linux: {
        ...more.linux,
        securityContext: {
          ...more.linux?.securityContext,
          namespaceOptions: { ...namespaceOptions, ...more.linux?.securityContext?.namespaceOptions },
        },
      },
    });
    const { cri } = rig.node;
    const before = await namespaces(rig);
    const id = await cri.runPodSandbox(config, handlerFor(handler, kind));
    try {
      const { status } = await cri.podSandboxStatus(id);
      const ips = [status?.network?.ip ?? "", ...(status?.network?.additionalIps.map(({ ip }) => ip) ?? [])];
      const [v4 = ""] = ips.filter((ip) => ip.includes("."));
      const [v6 = ""] = ips.filter((ip) => ip.includes(":"));
      const made = (await namespaces(rig)).find((each) => !before.includes(each)) ?? "";
      const pod = new NetworkPod(rig, id, config, kind, v4, v6, made);
      pod.main = await pod.container(SERVERS, container);
      await pod.untilServing();
      return pod;
    } catch (error) {
      await removePod(cri, id).catch(() => undefined);
      throw error;
    }
  }

  /** The namespace that CNI has filled. */
  get netns(): NetworkNamespace {
    return NetworkNamespace.at(this.netnsPath);
  }

  /** Starts one more container. */
  async container(script: string, more: ContainerConfig = {}): Promise<string> {
    const { cri } = this.rig.node;
    const name = `c${++count}`;
    const linux = {
      ...more.linux,
      securityContext: {
        namespaceOptions: { network: this.networkMode, pid: NamespaceMode.CONTAINER },
        ...more.linux?.securityContext,
      },
    };
    const config = {
      metadata: { name, attempt: 0 },
      image: { image: IMAGE },
      command: ["sh", "-c", script],
      logPath: `${name}.log`,
      ...more,
      linux,
    };
    const id = await cri.createContainer(this.id, config, this.config);
    await cri.startContainer(id);
    return id;
  }

  /** A script's output in the container, with its exit code if it is another than 0. */
  async exec(script: string): Promise<string> {
    const { code, stdout, stderr } = await execText(this.rig.node.cri, this.main, script);
    return `${stdout}${stderr}`.trimEnd() + (code === 0 ? "" : `\nexit ${code}`);
  }

  /** netprobe in the container. */
  probe(...args: readonly string[]): Promise<string> {
    return this.exec(`netprobe ${args.join(" ")}`);
  }

  /** What its network looks like from inside: {@link tidy} lines in a fixed order. */
  async show(): Promise<string> {
    // runc's pods look for duplicates of link-local addresses while they run; and a kernel that has just booted takes up to
    // a second to tell that a link runs (linkwatch)
    const settled = async () => {
      const seen = await this.probe("show");
      return seen.includes("tentative") || / up$/m.test(seen) ? undefined : seen;
    };
    const seen = await until("links and addresses that are settled", settled, SETTLED);
    return (await this.tidy(seen)).split("\n").sort().join("\n");
  }

  /** What CNI has made, out of its library's cache. */
  async made(interfaceIndex = 0): Promise<CniResult> {
    if (this.kind === "host") return {};
    const file = join(
      CNI_RESULTS,
      `${networkName(this.kind, interfaceIndex)}-${this.id}-eth${interfaceIndex}`,
    );
    const { result } = JSON.parse(await readFile(file, "utf8")) as { result: CniResult };
    return result;
  }

  /** Replaces what is this pod's alone. */
  async tidy(text: string): Promise<string> {
    const names = new Map<string, string>();
    for (const index of [0, 1]) {
      const made = await this.made(index).catch((): CniResult => ({}));
      for (const { sandbox, mac } of made.interfaces ?? [])
        if ((sandbox ?? "") !== "") names.set(mac, `MAC${index}`);
      for (const { address } of made.ips ?? []) {
        const ip = address.slice(0, address.indexOf("/"));
        names.set(ip, `${ip.includes(":") ? "POD6" : "POD4"}-${index}`);
      }
    }
    let tidied = text;
    for (const [own, name] of [...names].sort(([a], [b]) => b.length - a.length))
      tidied = tidied.replaceAll(
        new RegExp(`(?<![\\w:.])${own.replaceAll(".", "\\.")}(?![\\w:]|\\.\\d)`, "g"),
        name,
      );
    return tidied.replaceAll(/fe80::[0-9a-f]*:[0-9a-f:]+/g, "LINKLOCAL");
  }

  /** Whether it ends within this time, by CRI's status. */
  async untilNotReady(timeoutMs: number): Promise<boolean> {
    const notReady = async () => {
      const { status } = await this.rig.node.cri.podSandboxStatus(this.id);
      return status?.state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined;
    };
    return until("NOTREADY", notReady, { timeoutMs, pollMs: 100 }).catch(() => false);
  }

  /** Until there are sockets at these ports, of TCP. */
  async untilListening(...ports: readonly number[]): Promise<void> {
    const all = async () => {
      const found = await this.exec("cat /proc/net/tcp /proc/net/tcp6");
      const listening = (port: number) =>
        found.includes(`:${port.toString(16).toUpperCase().padStart(4, "0")} `);
      return ports.every(listening) || found.includes("exit") ? true : undefined;
    };
    await until("the servers of a pod", all, { pollMs: 100 });
  }

  async remove(): Promise<void> {
    await removePod(this.rig.node.cri, this.id);
  }

  private get networkMode() {
    return this.kind === "host" ? NamespaceMode.NODE : NamespaceMode.POD;
  }

  private untilServing(): Promise<void> {
    const { udp, refused } = PORTS;
    return this.untilListening(...Object.values(PORTS).filter((port) => port !== udp && port !== refused));
  }
}

/** The pods' namespaces that containerd has made. */
async function namespaces(rig: NetworkRig): Promise<string[]> {
  const directory = join(rig.node.containerdDirectory, "state", "io.containerd.grpc.v1.cri", "netns");
  const names = await readdir(directory).catch((): string[] => []);
  return names.map((name) => join(directory, name));
}
