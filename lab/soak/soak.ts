/**
 * `npm run test:soak -- --pods N --execs M`: many pods one after the other, and many execs in one container, of a private node;
 * fails if anything of daemon or keeper has grown by it.
 *
 * The first tenth of each, and ten at least, warms up: caches fill, code is compiled. What is measured is the growth from there to the end, each
 * time when the daemon was idle for so long that it has given memory back.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { artifacts } from "../../setup/steps/artifacts.ts";
import { blazarError } from "../../src/contracts/errors.ts";
import { pause } from "../../src/lib/async.ts";
import { execText } from "../cri/commands.ts";
import { interruptible } from "../host/interruption.ts";
import { processesOf } from "../host/processes.ts";
import { busyboxImage } from "../images/busybox.ts";
import { hostNetworkPod, removePod } from "../node/pods.ts";
import { PrivateNode } from "../node/private-node.ts";
import { runtimeOfBlazard } from "../node/unit-runtime.ts";
import { type Held, heldBy } from "./figures.ts";

export interface SoakOptions {
  /** The bundled product, `dist/blazar.mjs`. */
  readonly program: string;
  readonly pods: number;
  readonly execs: number;
}

const IMAGE = "localhost/blazar/soak:latest";
/** The daemon gives memory back when it was idle for five seconds. */
const IDLE_MS = 9_000;
/** Threads, caches and compiled code are there after so many, however few are asked for. */
const LEAST_WARM = 10;
/** So often it is told how far it is. */
const PROGRESS = 10;
/** What may be there more than before: garbage of an allocator, and for each pod or exec less than any record would be. */
const MOST: Readonly<Record<keyof Held, (times: number) => number>> = {
  daemonBytes: (times) => 4 * 2 ** 20 + 256 * times,
  daemonDescriptors: () => 3,
  keeperBytes: (times) => 256 * 1024 + 16 * times,
  keeperDescriptors: () => 3,
  mounts: () => 0,
  files: () => 2,
  cgroups: () => 0,
};

/** Runs the soak; the returned number is the exit code. */
export function soak(options: SoakOptions): Promise<number> {
  return interruptible("soak a node", (signal) => soakNode(options, signal));
}

async function soakNode({ program, pods, execs }: SoakOptions, signal: AbortSignal): Promise<number> {
  const built = artifacts();
  const programs = await mkdtemp(join(tmpdir(), "blazar-soak-node-"));
  const node = await PrivateNode.start({
    program,
    containerd: built.containerd?.bin ?? "",
    prefix: "blazar-soak-",
    stateInMemory: true,
    // with other settings freed memory stays with the allocator
    node: await runtimeOfBlazard(programs),
    // without templates a pod takes seconds; histories of pods that have ended are kept up to a bound, which is reached in the warm-up
    config: { daemon: { log_level: "warn" }, inspection: { kept_count: 5 }, template: { enabled: true } },
  });
  try {
    await node.containerd.importImage(await busyboxImage(IMAGE, built.busybox));
    const soaked = new Soak(node, await keeperOf(node), signal);
    const growths = [await soaked.measured("pod", pods, (number) => soaked.pod(number))];
    const { id } = await soaked.container("long");
    growths.push(await soaked.measured("exec", execs, () => soaked.exec(id)));
    return growths.every((fine) => fine) ? 0 : 1;
  } finally {
    await node.stop();
    await rm(programs, { recursive: true });
  }
}

class Soak {
  constructor(
    private readonly node: PrivateNode,
    private readonly keeper: number,
    private readonly signal: AbortSignal,
  ) {}

  /** Does it so many times, and says what has grown since the warm-up. False if that is too much. */
  async measured(name: string, times: number, once: (number: number) => Promise<void>): Promise<boolean> {
    const warm = Math.max(LEAST_WARM, Math.floor(times / 10));
    await this.repeat(0, warm, once);
    const before = await this.held();
    await this.repeat(warm, times, once);
    const after = await this.held();
    const counted = times - warm;
    const fields = Object.keys(MOST) as (keyof Held)[];
    const grown = Object.fromEntries(fields.map((field) => [field, after[field] - before[field]]));
    const over = fields.filter((field) => (grown[field] ?? 0) > MOST[field](counted));
    process.stdout.write(`${JSON.stringify({ of: name, times: counted, before, grown, over })}\n`);
    return over.length === 0;
  }

  async pod(number: number): Promise<void> {
    const { pod } = await this.container(`p${number}`);
    await removePod(this.node.cri, pod);
  }

  /** Starts a container in a pod of its own. */
  async container(name: string): Promise<{ readonly pod: string; readonly id: string }> {
    const { cri, directory } = this.node;
    const logDirectory = join(directory, "logs");
    await mkdir(logDirectory, { recursive: true });
    const config = hostNetworkPod(name, { logDirectory });
    const pod = await cri.runPodSandbox(config, "blazar");
    const container = {
      metadata: { name, attempt: 0 },
      image: { image: IMAGE },
      command: ["/bin/sleep", "1000000"],
      logPath: "soak.log",
    };
    const id = await cri.createContainer(pod, container, config);
    await cri.startContainer(id);
    return { pod, id };
  }

  async exec(id: string): Promise<void> {
    const { code, stdout } = await execText(this.node.cri, id, ["/bin/echo", "soaked"], 0);
    if (code !== 0 || !stdout.includes("soaked"))
      throw blazarError("Internal", "soak a node", `an exec ended with ${code}: ${stdout}`);
  }

  private async repeat(from: number, to: number, once: (number: number) => Promise<void>): Promise<void> {
    for (let number = from; number < to; number++) {
      this.signal.throwIfAborted();
      const started = performance.now();
      await once(number);
      if (number % PROGRESS === 0)
        process.stderr.write(`${number + 1} of ${to}, ${Math.round(performance.now() - started)} ms\n`);
    }
  }

  private async held(): Promise<Held> {
    // execs alone do not make the daemon collect its garbage
    await this.pod(Date.now());
    await pause(IDLE_MS, this.signal);
    return heldBy(this.node, this.keeper);
  }
}

async function keeperOf(node: PrivateNode): Promise<number> {
  const all = await processesOf([join(node.stateDirectory, "keeper.sock")]);
  const keeper = all.find(({ command }) => command.includes("--control"));
  if (keeper === undefined) throw blazarError("KeeperLost", "soak a node", "there is no keeper");
  return keeper.pid;
}
