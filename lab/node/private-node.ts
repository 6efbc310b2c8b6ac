/**
 * A private node in one directory: keeper, blazard and containerd as real processes.
 *
 * The demo, the end-to-end tests and the benchmark all use it. {@link PrivateNode.stop} leaves no process, mount or
 * file behind, whatever has happened before: everything that the node started has its directory in its command line.
 */
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { blazarError } from "../../src/contracts/errors.ts";
import type { Metrics } from "../../src/observe/metrics-file.ts";
import type { CriClient } from "../cri/client.ts";
import type { Dial } from "../cri/streaming.ts";
import { answersAt, Daemon, drainBlazard } from "../host/daemon.ts";
import { mountMemory, mountsBelow, unmountBelow } from "../host/mounts.ts";
import { patient } from "../host/patience.ts";
import { killProcessesOf, processesOf } from "../host/processes.ts";
import { blazardConfig, type NodeConfig } from "./blazard-config.ts";
import { readMetrics } from "./metrics.ts";
import type { NetworkNamespace } from "./network-namespace.ts";
import { PrivateContainerd } from "./private-containerd.ts";

/** A Node binary, its options, and variables added to its environment. */
export interface NodeRuntime {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** A build of the product. */
export interface ProductBuild {
  /** The bundled product, `dist/blazar.mjs`; `deploy/` is beside its directory. */
  readonly program: string;
  /** Set-up's cache with its keeper and guest; by default that of this process's environment. */
  readonly cache?: string;
}

export interface PrivateNodeOptions extends ProductBuild {
  /** Where containerd's programs are. */
  readonly containerd: string;
  /** Further keys of blazard's configuration, by section; they win over the node's own. */
  readonly config?: NodeConfig;
  /** Which Node runs blazard, and how; by default the Node that runs this. */
  readonly node?: NodeRuntime;
  /** TOML added to containerd's configuration, such as further runtime handlers; may depend on containerd's directory. */
  readonly containerdConfig?: string | ((containerdDirectory: string) => string);
  /** Puts the states of blazard and containerd on tmpfs, as /run is (needs root). By default they are in the directory. */
  readonly stateInMemory?: boolean;
  /** Puts containerd's images and snapshots on a tmpfs of this size, which can be filled (needs root). */
  readonly rootBytes?: number;
  /** Where the daemons run, with all that they start; by default where this process runs. */
  readonly network?: { readonly namespace: NetworkNamespace; readonly dial: Dial } | undefined;
  /** A collector that containerd sends traces of its calls to. */
  readonly collector?: string;
  /** Directories of CNI plugins beside the usual ones. */
  readonly cniPlugins?: readonly string[];
  /** How often containerd looks at what snapshots take, in seconds. */
  readonly usageSeconds?: number;
  /** Start of the directory's name in the temporary directory. */
  readonly prefix?: string;
}

/** The first start may have to find out by a boot whether KVM works. */
const READY_TIMEOUT_MS = 120_000;
const DRAIN_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;

export class PrivateNode {
  private readonly options: PrivateNodeOptions;
  readonly directory: string;
  private config: NodeConfig;
  private build: ProductBuild;
  private blazard: Daemon | undefined;
  private runningContainerd: PrivateContainerd | undefined;

  private constructor(options: PrivateNodeOptions, directory: string) {
    this.options = options;
    this.config = options.config ?? {};
    this.build = options;
    this.directory = directory;
  }

  /** Starts everything, in the order that containerd needs. Throws what went wrong, having cleaned up. */
  static async start(options: PrivateNodeOptions): Promise<PrivateNode> {
    const node = new PrivateNode(options, await mkdtemp(join(tmpdir(), options.prefix ?? "blazar-node-")));
    try {
      // VMMs are other users and have to reach what is theirs
      await chmod(node.directory, 0o711);
      await node.startAll();
      return node;
    } catch (error) {
      await node.stop();
      throw error;
    }
  }

  get containerd(): PrivateContainerd {
    return this.runningContainerd ?? notRunning("containerd");
  }

  get cri(): CriClient {
    return this.containerd.cri;
  }

  /** Of the blazard that runs now. */
  get blazardPid(): number {
    return (this.blazard ?? notRunning("blazard")).pid;
  }

  /** blazard's own directory: sandboxes, journals, sockets. */
  get stateDirectory(): string {
    return join(this.directory, "blazar");
  }

  get scratchDirectory(): string {
    return join(this.directory, "scratch");
  }

  get containerdDirectory(): string {
    return join(this.directory, "containerd");
  }

  /** containerd's images and snapshots. */
  get containerdRoot(): string {
    return join(this.containerdDirectory, "root");
  }

  /** Where operators' tools ask the blazard that runs now. */
  get inspectionSocket(): string {
    return join(this.stateDirectory, "inspection.sock");
  }

  get blazardLog(): string {
    return join(this.directory, "blazard.log");
  }

  /** The figures of the blazard that runs now. Throws DeadlineExceeded if it does not write them. */
  metrics(): Promise<Metrics> {
    return readMetrics(this.stateDirectory, this.blazardPid);
  }

  /** Ends blazard, by SIGKILL if `kill`, and starts it again on what it finds; with other keys or another build, if given. */
  async restartBlazard(
    how: { readonly kill?: boolean; readonly config?: NodeConfig; readonly build?: ProductBuild } = {},
  ): Promise<void> {
    this.config = how.config ?? this.config;
    this.build = how.build ?? this.build;
    await this.stopBlazard(how);
    this.blazard = await this.startBlazard();
  }

  /** Ends blazard, by SIGKILL if `kill`, and no pod. */
  async stopBlazard(how: { readonly kill?: boolean } = {}): Promise<void> {
    if (how.kill === true) await this.blazard?.kill();
    else await this.blazard?.stop();
  }

  /** Ends everything and removes the directory. May be called in any state; goes on whatever fails. */
  async stop(): Promise<void> {
    const failures: unknown[] = [];
    const attempt = async (step: () => Promise<unknown> | undefined) => {
      await step()?.catch((error: unknown) => failures.push(error));
    };
    // blazard first: containerd then hears how its pods ended, and can still ask blazard while it cleans up
    await attempt(() => drainBlazard(this.inspectionSocket, patient(DRAIN_TIMEOUT_MS)));
    await attempt(() => this.blazard?.stop());
    await attempt(() => this.runningContainerd?.stop());
    // keeper, VMMs and runc's shims, should any be left
    await attempt(() => killProcessesOf(this.directory));
    await attempt(() => unmountBelow(this.directory));
    await attempt(() => rm(this.directory, { recursive: true, force: true, maxRetries: 3 }));
    if (failures.length > 0) throw failures[0];
  }

  /** Processes and mounts that exist because of this node; after {@link stop} there are none. */
  async remains(): Promise<string[]> {
    const processes = await processesOf([this.directory]);
    const mounts = await mountsBelow(this.directory);
    return [...processes.map(({ pid, command }) => `process ${pid}: ${command}`), ...mounts];
  }

  private async startAll(): Promise<void> {
    if (this.options.stateInMemory === true) {
      await mountMemory(this.stateDirectory);
      await mountMemory(join(this.containerdDirectory, "state"));
    }
    const { rootBytes, containerdConfig } = this.options;
    if (rootBytes !== undefined) await mountMemory(this.containerdRoot, rootBytes);
    this.blazard = await this.startBlazard();
    this.runningContainerd = await PrivateContainerd.start({
      binaries: this.options.containerd,
      directory: this.containerdDirectory,
      blazarSocket: join(this.stateDirectory, "blazar.sock"),
      shimDirectory: join(dirname(dirname(this.options.program)), "deploy"),
      extraConfig:
        typeof containerdConfig === "function"
          ? containerdConfig(this.containerdDirectory)
          : containerdConfig,
      cniPlugins: this.options.cniPlugins,
      usageSeconds: this.options.usageSeconds,
      collector: this.options.collector,
      prefix: this.options.network?.namespace.prefix,
      dial: this.options.network?.dial,
    });
  }

  private async startBlazard(): Promise<Daemon> {
    const config = join(this.directory, "blazar.toml");
    await mkdir(this.scratchDirectory, { recursive: true, mode: 0o711 });
    await writeFile(config, blazardConfig(this, this.config));
    const socket = join(this.stateDirectory, "blazar.sock");
    await rm(socket, { force: true });
    const prefix = this.options.network?.namespace.prefix ?? [];
    const runtime = this.options.node ?? { program: process.execPath, args: [], env: {} };
    const { program: product, cache } = this.build;
    const command = [...prefix, runtime.program, ...runtime.args, product, "serve"];
    const [program = "", ...args] = [...command, "--config", config];
    return Daemon.start({
      name: "blazard",
      program,
      args,
      env: { ...process.env, ...runtime.env, ...(cache === undefined ? {} : { BLAZAR_CACHE: cache }) },
      logFile: this.blazardLog,
      ready: () => answersAt(socket),
      readyTimeoutMs: patient(READY_TIMEOUT_MS),
      stopTimeoutMs: patient(STOP_TIMEOUT_MS),
    });
  }
}

function notRunning(name: string): never {
  throw blazarError("IllegalTransition", `use ${name}`, "it does not run");
}
