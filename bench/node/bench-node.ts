/**
 * The node that is measured: the lab's private node with blazard run as its unit runs it, and the pods' images.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CriClient } from "../../lab/cri/client.ts";
import { allProcesses, descendants, type ProcessInfo, programOf } from "../../lab/host/processes.ts";
import { busyboxImage, pauseImage } from "../../lab/images/busybox.ts";
import type { ImageSpec } from "../../lab/images/image-builder.ts";
import { LabNetwork } from "../../lab/network/lab-network.ts";
import type { NodeConfig } from "../../lab/node/blazard-config.ts";
import { removeAllPods, removePod } from "../../lab/node/pods.ts";
import { PrivateNode } from "../../lab/node/private-node.ts";
import { runtimeOfBlazard } from "../../lab/node/unit-runtime.ts";
import { programFile } from "../../setup/lib/dist.ts";
import type { Artifacts } from "../../setup/steps/artifacts.ts";
import { type BlazarError, blazarError } from "../../src/contracts/errors.ts";
import { ImageFiles } from "../../src/host/storage/images/image-files.ts";
import type { Metrics } from "../../src/observe/metrics-file.ts";

/** What the pods' containers run. */
export const IMAGE = "localhost/blazar/bench:latest";

/** Shims of any handler but blazar's, which is a script that ends at once. */
const SHIM = /containerd-shim-(?!blazar)/;

export interface BenchNodeOptions {
  readonly artifacts: Artifacts;
  /** Keys of blazard's configuration. */
  readonly config?: NodeConfig;
  /** TOML for containerd: more runtime handlers. */
  readonly containerdConfig?: string | undefined;
  /** The node is in a network of the lab's, for pods on CNI's networks. */
  readonly withNetwork?: boolean;
}

/** Processes of the node, by part. */
export interface NodeProcesses {
  readonly daemon: number;
  readonly keeper: number;
  /** What the keeper has started. */
  readonly vmms: readonly number[];
  /** Shims of the other handlers, and what they have started. */
  readonly shims: readonly number[];
  readonly shimChildren: readonly number[];
}

export class BenchNode {
  private constructor(
    private readonly node: PrivateNode,
    private readonly directory: string,
    private readonly network: LabNetwork | undefined,
  ) {}

  static async start(options: BenchNodeOptions): Promise<BenchNode> {
    const { artifacts, config, containerdConfig = "", withNetwork = false } = options;
    if (artifacts.containerd === null) throw noContainerd();
    const directory = await mkdtemp(join(tmpdir(), "blazar-bench-"));
    const network = withNetwork ? await LabNetwork.make() : undefined;
    const inNetwork = network?.nodeOptions(programFile());
    try {
      // VMMs are other users and have to reach the templates
      await chmod(directory, 0o711);
      const node = await PrivateNode.start({
        program: programFile(),
        containerd: artifacts.containerd.bin,
        prefix: "blazar-bench-node-",
        // as on a node: on a disk, each line of a journal waits for the disk
        stateInMemory: process.getuid?.() === 0,
        node: await runtimeOfBlazard(directory),
        config: inDirectory(config, directory),
        ...inNetwork,
        containerdConfig: (place) => containerdConfig + (inNetwork?.containerdConfig(place) ?? ""),
      });
      const bench = new BenchNode(node, directory, network);
      try {
        await bench.importImages(artifacts);
        return bench;
      } catch (error) {
        await bench.stop();
        throw error;
      }
    } catch (error) {
      await network?.end();
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  get cri(): CriClient {
    return this.node.cri;
  }

  /** blazard's own log, at the level `debug`. */
  get blazardLog(): string {
    return this.node.blazardLog;
  }

  /** Ends blazard and starts it with other keys; there should be no pods. */
  async reconfigure(config: NodeConfig): Promise<void> {
    await this.node.restartBlazard({ config: inDirectory(config, this.directory) });
  }

  /** Ends blazard, by SIGKILL if `kill`, and no pod. */
  async stopBlazard(how: { readonly kill: boolean }): Promise<void> {
    await this.node.stopBlazard(how);
  }

  /** Starts blazard again on what it finds; resolves once its sockets are there. */
  async startBlazard(): Promise<void> {
    await this.node.restartBlazard();
  }

  get controllerSocket(): string {
    return join(this.node.stateDirectory, "blazar.sock");
  }

  get inspectionSocket(): string {
    return this.node.inspectionSocket;
  }

  /** Asks blazard for its own figures. Throws DeadlineExceeded if it does not write them. */
  metrics(): Promise<Metrics> {
    return this.node.metrics();
  }

  /** Who is who among the node's processes. */
  async processes(): Promise<NodeProcesses> {
    const all = await allProcesses();
    const daemon = this.node.blazardPid;
    const keeper = await this.keeperPid(all);
    const shims = all.filter(
      ({ command }) => SHIM.test(command) && command.includes(this.node.containerdDirectory),
    );
    const pids = (list: readonly ProcessInfo[]) => list.map(({ pid }) => pid);
    return {
      daemon,
      keeper,
      vmms: pids(descendants(all, [keeper])),
      shims: pids(shims),
      shimChildren: pids(descendants(all, pids(shims))),
    };
  }

  async stop(): Promise<void> {
    await this.removeAllPods().catch(() => undefined);
    await this.node.stop();
    await this.network?.end();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Stops and removes every pod that is there. */
  removeAllPods(): Promise<void> {
    return removeAllPods(this.cri);
  }

  /** Whether the container has its layers from an image: then the image is held for it. */
  async usesImage(containerId: string): Promise<boolean> {
    const files = new ImageFiles(imagesIn(this.directory), this.directory);
    for (const key of await files.keys()) {
      if ((await files.read(key))?.holders.includes(containerId) === true) return true;
    }
    return false;
  }

  /** Where the node has its files, images and templates included. */
  get directories(): readonly string[] {
    return [this.node.directory, this.directory];
  }

  importImage(image: ImageSpec): Promise<void> {
    return this.node.containerd.importImage(image);
  }

  /** Imports a tar of an OCI layout, whose image has this name. */
  importArchive(file: string, name: string): Promise<void> {
    return this.node.containerd.importArchive(file, name);
  }

  async pullImage(reference: string): Promise<void> {
    await this.node.containerd.ctr("images", "pull", reference);
  }

  removePod(id: string): Promise<void> {
    return removePod(this.cri, id);
  }

  private async keeperPid(all: readonly ProcessInfo[]): Promise<number> {
    for (const { pid, command } of all) {
      if (!command.includes(this.node.stateDirectory)) continue;
      if ((await programOf(pid)).endsWith("/keeper")) return pid;
    }
    const reason = "no process of that name has the state directory in its command line";
    throw blazarError("ProcessNotFound", "find the keeper", reason, { subject: this.node.stateDirectory });
  }

  private async importImages({ busybox }: Artifacts): Promise<void> {
    const image = await busyboxImage(IMAGE, busybox);
    await this.node.containerd.importImage(image);
    await this.node.containerd.importImage(pauseImage(image));
  }
}

/** Templates and images are in the run's directory: they outlive a restart of the daemon, but not the run. */
function inDirectory(config: NodeConfig | undefined, directory: string): NodeConfig {
  return {
    ...config,
    template: { enabled: true, directory: join(directory, "templates") },
    image: { ...config?.["image"], directory: imagesIn(directory) },
  };
}

function imagesIn(directory: string): string {
  return join(directory, "images");
}

function noContainerd(): BlazarError {
  return blazarError("DependencyMissing", "start the benchmark's node", "set-up has no containerd", {
    remedy: "see the warnings of: npm run setup",
  });
}
