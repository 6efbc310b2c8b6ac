/**
 * The node that is measured: keeper, blazard and containerd of its own, with the images that pods need.
 *
 * blazard runs as its unit runs it (Node's options out of deploy/blazar.service), on a copy of the Node binary that
 * nothing else maps: otherwise this process, npm and set-up would share its text and hide half of its memory.
 */
import { chmod, copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { CriClient } from "../../lab/cri/client.ts";
import { PAUSE_IMAGE } from "../../lab/demo/private-containerd.ts";
import { type NodeConfig, PrivateNode } from "../../lab/demo/private-node.ts";
import { busyboxImage, type ImageSpec, writeImage } from "../../lab/image-builder.ts";
import { programFile } from "../../setup/lib/dist.ts";
import { repoRoot } from "../../setup/lib/paths.ts";
import type { Artifacts } from "../../setup/steps/artifacts.ts";
import { type BlazarError, blazarError } from "../../src/contracts/errors.ts";
import type { Metrics } from "../../src/observe/metrics-file.ts";
import { allProcesses, descendants, type ProcessInfo, programOf } from "./memory.ts";

/** What the pods' containers run. */
export const IMAGE = "localhost/blazar/bench:latest";

const METRICS_TIMEOUT_MS = 10_000;
const POLL_MS = 10;
/** Any handler's; blazar's own is a script that ends at once. */
const SHIM = /containerd-shim-(?!blazar)/;

export interface BenchNodeOptions {
  readonly artifacts: Artifacts;
  /** Keys of blazard's configuration. */
  readonly config?: NodeConfig;
  /** TOML for containerd: more runtime handlers. */
  readonly containerdConfig?: string | undefined;
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
  ) {}

  static async start(options: BenchNodeOptions): Promise<BenchNode> {
    const { artifacts, config, containerdConfig } = options;
    if (artifacts.containerd === null) throw noContainerd();
    const directory = await mkdtemp(join(tmpdir(), "blazar-bench-"));
    try {
      // VMMs are other users and have to reach the templates
      await chmod(directory, 0o711);
      const node = await PrivateNode.start({
        program: programFile(),
        containerd: artifacts.containerd.bin,
        prefix: "blazar-bench-node-",
        // as a node has them: a journal on a disk waits for the disk's own journal
        stateInMemory: process.getuid?.() === 0,
        node: await runtimeOfBlazard(directory),
        config: withTemplates(config, directory),
        ...(containerdConfig === undefined ? {} : { containerdConfig }),
      });
      const bench = new BenchNode(node, directory);
      try {
        await bench.importImages(artifacts);
        return bench;
      } catch (error) {
        await bench.stop();
        throw error;
      }
    } catch (error) {
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
    await this.node.restartBlazard({ config: withTemplates(config, this.directory) });
  }

  /** Asks blazard for its own figures. Throws DeadlineExceeded if it does not write them. */
  async metrics(): Promise<Metrics> {
    const file = join(this.node.stateDirectory, "metrics.json");
    const pid = this.node.blazardPid;
    const before = await readMetrics(file);
    process.kill(pid, "SIGUSR2");
    const deadline = performance.now() + METRICS_TIMEOUT_MS;
    for (;;) {
      const now = await readMetrics(file);
      if (now !== undefined && now.pid === pid && (before?.pid !== pid || now.sequence > before.sequence))
        return now;
      if (performance.now() > deadline) throw noMetrics(pid);
      await delay(POLL_MS);
    }
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
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Stops and removes every pod that is there. */
  async removeAllPods(): Promise<void> {
    const pods = await this.cri.listPodSandboxes();
    await Promise.all(pods.map(({ id }) => this.removePod(id)));
  }

  async removePod(id: string): Promise<void> {
    await this.cri.stopPodSandbox(id);
    await this.cri.removePodSandbox(id);
  }

  private async keeperPid(all: readonly ProcessInfo[]): Promise<number> {
    for (const { pid, command } of all) {
      if (!command.includes(this.node.stateDirectory)) continue;
      if ((await programOf(pid)).endsWith("/keeper")) return pid;
    }
    throw blazarError(
      "ProcessNotFound",
      "find the keeper",
      "no process of that name has this directory in its command line",
      { subject: this.node.stateDirectory },
    );
  }

  private async importImages({ busybox }: Artifacts): Promise<void> {
    const applets = (await readFile(busybox.applets, "utf8")).split("\n").filter((line) => line !== "");
    const names = applets.map((path) => path.slice(path.lastIndexOf("/") + 1));
    const image = await busyboxImage(IMAGE, busybox.binary, names);
    await this.import(image);
    await this.import({ ...image, name: PAUSE_IMAGE, process: { Entrypoint: ["/bin/sleep", "2147483647"] } });
  }

  private async import(image: ImageSpec): Promise<void> {
    const file = join(this.directory, "image.tar");
    await writeImage(file, image);
    await this.node.containerd.importImage(file, image.name);
    await rm(file);
  }
}

/** Templates of its own, that outlive a restart of the daemon and not the run. */
function withTemplates(config: NodeConfig | undefined, directory: string): NodeConfig {
  return { ...config, template: { enabled: true, directory: join(directory, "templates") } };
}

/** How blazard is run. */
export interface Runtime {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** A copy of the Node binary in a directory, with the options and the environment of blazard's unit. */
export async function runtimeOfBlazard(directory: string): Promise<Runtime> {
  const program = join(directory, "node");
  await copyFile(process.execPath, program);
  const unit = await readFile(join(repoRoot(), "deploy", "blazar.service"), "utf8");
  return { program, ...settingsOfUnit(unit) };
}

/** Node's options and the variables in a unit (systemd.service(5), systemd.exec(5)). */
export function settingsOfUnit(unit: string): Omit<Runtime, "program"> {
  const [, options = ""] = /^ExecStart=\S*node((?: --\S+)*) /m.exec(unit) ?? [];
  const assignments = [...unit.matchAll(/^Environment=(.*)$/gm)].flatMap(([, line = ""]) => line.split(" "));
  const env = assignments
    .filter((assignment) => assignment.includes("="))
    .map((assignment) => [
      assignment.slice(0, assignment.indexOf("=")),
      assignment.slice(assignment.indexOf("=") + 1),
    ]);
  return {
    args: options.split(" ").filter((option) => option !== ""),
    env: Object.fromEntries(env) as Record<string, string>,
  };
}

async function readMetrics(file: string): Promise<Metrics | undefined> {
  const text = await readFile(file, "utf8").catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Metrics);
}

function noMetrics(pid: number): BlazarError {
  return blazarError(
    "DeadlineExceeded",
    "ask blazard for its figures",
    `it has written none within ${METRICS_TIMEOUT_MS / 1000} s of SIGUSR2`,
    { subject: `process ${pid}` },
  );
}

function noContainerd(): BlazarError {
  return blazarError("DependencyMissing", "start the benchmark's node", "set-up has no containerd", {
    remedy: "see the warnings of: npm run setup",
  });
}
