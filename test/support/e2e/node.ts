/**
 * A private node with pods, for the end-to-end tests: what kubelet does, in few words.
 *
 * Start one in `beforeAll`, end it in `afterAll` by {@link TestNode.stop}, which leaves nothing behind whatever the
 * tests did. One node serves all tests of a file: a containerd takes longer to start than a pod.
 */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import type { CriClient } from "../../../lab/cri/client.ts";
import { type Leftover, podLeftovers, processesOf } from "../../../lab/demo/leftovers.ts";
import { PAUSE_IMAGE } from "../../../lab/demo/private-containerd.ts";
import { PrivateNode, type PrivateNodeOptions } from "../../../lab/demo/private-node.ts";
import {
  ContainerState,
  type ContainerStatus,
  type DeepPartial,
  NamespaceMode,
  PodSandboxConfig,
} from "../../../src/rpc/generated/runtime/v1/cri.ts";
import { blazarProgram, built, writeBusyboxImage } from "./program.ts";

/** Busybox: a shell and its applets in /bin. */
export const BUSYBOX = "localhost/blazar/test:latest";

const DEADLINE_MS = 60_000;
const POLL_MS = 20;

export type ContainerConfig = Parameters<CriClient["createContainer"]>[1];

/** A pod's sandbox and what it was asked for. */
export interface TestPod {
  readonly id: string;
  readonly config: DeepPartial<PodSandboxConfig>;
  /** Where its containers' logs are. */
  readonly logs: string;
}

export interface TestContainer {
  readonly id: string;
  readonly pod: TestPod;
  readonly logFile: string;
}

/** A line of a CRI log. */
export interface LogLine {
  readonly stream: string;
  readonly text: string;
}

export interface PodOptions {
  readonly handler?: "blazar" | "runc";
  readonly config?: DeepPartial<PodSandboxConfig>;
}

/** A finished command. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class TestNode {
  private readonly ids: string[] = [];
  private nextName = 1;

  private constructor(readonly node: PrivateNode) {}

  static async start(options: Partial<PrivateNodeOptions> = {}): Promise<TestNode> {
    const { containerd } = built();
    if (containerd === null) throw new Error("set-up has no containerd: see its warnings");
    const node = await PrivateNode.start({
      program: blazarProgram(),
      containerd: containerd.bin,
      prefix: "blazar-e2e-",
      ...options,
    });
    try {
      const test = new TestNode(node);
      await test.importBusybox(BUSYBOX);
      return test;
    } catch (error) {
      await node.stop();
      throw error;
    }
  }

  get cri(): CriClient {
    return this.node.cri;
  }

  /** Every sandbox and container that was ever made here. */
  get everMade(): readonly string[] {
    return this.ids;
  }

  /** Imports busybox under a name; {@link BUSYBOX} is there already. */
  async importBusybox(name: string, process?: Parameters<typeof writeBusyboxImage>[2]): Promise<void> {
    await this.node.containerd.importImage(await writeBusyboxImage(this.node.directory, name, process), name);
  }

  /** What runc's pods need: an image to rest in. */
  importPause(): Promise<void> {
    return this.importBusybox(PAUSE_IMAGE, { Entrypoint: ["/bin/tail", "-f", "/dev/null"] });
  }

  /** Runs a hostNetwork pod without containers. */
  async runPod(options: PodOptions = {}): Promise<TestPod> {
    const name = `pod${this.nextName++}`;
    const logs = join(this.node.directory, "logs", name);
    await mkdir(logs, { recursive: true });
    const config = PodSandboxConfig.fromPartial({
      metadata: { name, uid: `uid-${name}`, namespace: "default", attempt: 0 },
      logDirectory: logs,
      ...options.config,
      linux: {
        ...options.config?.linux,
        securityContext: {
          ...options.config?.linux?.securityContext,
          namespaceOptions: {
            network: NamespaceMode.NODE,
            ...options.config?.linux?.securityContext?.namespaceOptions,
          },
        },
      },
    });
    const id = await this.cri.runPodSandbox(config, options.handler ?? "blazar");
    this.ids.push(id);
    return { id, config, logs };
  }

  /** Makes and starts a container; with a string as command, a shell runs it. */
  async startContainer(
    pod: TestPod,
    command: string | readonly string[],
    more: ContainerConfig = {},
  ): Promise<TestContainer> {
    const container = await this.createContainer(pod, command, more);
    await this.cri.startContainer(container.id);
    return container;
  }

  async createContainer(
    pod: TestPod,
    command: string | readonly string[],
    more: ContainerConfig = {},
  ): Promise<TestContainer> {
    const name = `c${this.nextName++}`;
    const config = {
      metadata: { name, attempt: 0 },
      image: { image: BUSYBOX },
      command: typeof command === "string" ? ["sh", "-c", command] : [...command],
      logPath: `${name}.log`,
      ...more,
    };
    const id = await this.cri.createContainer(pod.id, config, pod.config);
    this.ids.push(id);
    return { id, pod, logFile: join(pod.logs, `${name}.log`) };
  }

  /** Runs a command by ExecSync; with a string, a shell runs it. */
  async exec(container: TestContainer, command: string | readonly string[], timeout = 0): Promise<Finished> {
    const cmd = typeof command === "string" ? ["sh", "-c", command] : [...command];
    const { stdout, stderr, exitCode } = await this.cri.execSync(container.id, cmd, timeout);
    return { code: exitCode, stdout: Buffer.from(stdout).toString(), stderr: Buffer.from(stderr).toString() };
  }

  /** Runs a shell with a terminal, types into it and waits for its end; `stdout` is its screen. */
  async typeInto(container: TestContainer, typed: string): Promise<Finished> {
    const screen = new PassThrough();
    const chunks: Buffer[] = [];
    screen.on("data", (chunk: Buffer) => chunks.push(chunk));
    const streams = { tty: true, stdin: new PassThrough(), stdout: screen };
    const shell = await this.cri.exec(container.id, ["sh"], streams);
    await shell.write(typed);
    const code = await shell.exitCode;
    return { code, stdout: Buffer.concat(chunks).toString(), stderr: "" };
  }

  /** The container's log as it is now (CRI's format: time, stream, F or P, text). */
  async readLog(container: TestContainer): Promise<LogLine[]> {
    const content = await readFile(container.logFile, "utf8").catch(() => "");
    return content
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const [, stream = "", , ...words] = line.split(" ");
        return { stream, text: words.join(" ") };
      });
  }

  /** The first line of the log that has this text in it. */
  waitForLog(container: TestContainer, text: string): Promise<LogLine> {
    return until(`"${text}" in the log of ${container.id}`, async () =>
      (await this.readLog(container)).find((line) => line.text.includes(text)),
    );
  }

  /** Waits until the container has ended. */
  waitForExit(container: TestContainer): Promise<ContainerStatus> {
    return until(`the end of ${container.id}`, async () => {
      const { status } = await this.cri.containerStatus(container.id);
      return status?.state === ContainerState.CONTAINER_EXITED ? status : undefined;
    });
  }

  /** Pid of the pod's VMM, found by the sandbox's id in its command line. */
  async vmmPid(pod: TestPod): Promise<number> {
    const found = (await processesOf([pod.id])).find(({ command }) => command.includes("qemu"));
    if (found === undefined) throw new Error(`there is no VMM of ${pod.id}`);
    return found.pid;
  }

  async removePod(pod: TestPod): Promise<void> {
    await this.cri.stopPodSandbox(pod.id);
    await this.cri.removePodSandbox(pod.id);
  }

  /** Stops and removes every pod that is there: after each test, so that none sees another's. */
  async stopAll(): Promise<void> {
    const pods = await this.cri.listPodSandboxes();
    await Promise.all(
      pods.map(async ({ id }) => {
        await this.cri.stopPodSandbox(id);
        await this.cri.removePodSandbox(id);
      }),
    );
  }

  /** What is left on the host of everything that was ever made here; call it when all pods are removed. */
  leftovers(): Promise<Leftover[]> {
    return podLeftovers(this.ids, this.node);
  }

  /** What blazard has logged so far, for a failing test's message. */
  blazardLog(): Promise<string> {
    return readFile(this.node.blazardLog, "utf8");
  }

  /** Ends the node; throws if anything of it is left. */
  async stop(): Promise<void> {
    await this.stopAll().catch(() => undefined);
    await this.node.stop();
    const remains = await this.node.remains();
    if (remains.length > 0) throw new Error(`left behind: ${remains.join("; ")}`);
  }
}

/** Asks until there is an answer; throws naming what was waited for when it takes too long. */
export async function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`waited for ${what} for ${DEADLINE_MS} ms`);
    await new Promise((next) => setTimeout(next, POLL_MS));
  }
}
