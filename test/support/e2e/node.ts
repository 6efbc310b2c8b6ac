/**
 * A private node with pods, for the end-to-end tests: what kubelet does, in few words.
 *
 * Start one in `beforeAll` and end it in `afterAll` by {@link TestNode.stop}, which leaves nothing behind whatever the
 * tests did. One node serves all tests of a file, because a containerd takes longer to start than a pod.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { CriClient } from "../../../lab/cri/client.ts";
import { commandWords, execText, type Finished, typeIntoShell } from "../../../lab/cri/commands.ts";
import { type LogLine, readContainerLog } from "../../../lab/cri/container-log.ts";
import { processesOf } from "../../../lab/host/processes.ts";
import { until } from "../../../lab/host/until.ts";
import { busyboxImage, pauseImage } from "../../../lab/images/busybox.ts";
import { type Leftover, podLeftovers } from "../../../lab/node/leftovers.ts";
import { hostNetworkPod, removeAllPods, removePod } from "../../../lab/node/pods.ts";
import { PrivateNode, type PrivateNodeOptions } from "../../../lab/node/private-node.ts";
import {
  ContainerState,
  type ContainerStatus,
  type DeepPartial,
  type PodSandboxConfig,
} from "../../../src/rpc/generated/runtime/v1/cri.ts";
import { blazarProgram, built } from "./program.ts";

/** Busybox: a shell and its applets in /bin. */
export const BUSYBOX = "localhost/blazar/test:latest";

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

export interface PodOptions {
  /** A runtime handler of containerd; `blazar` if absent. */
  readonly handler?: string;
  readonly config?: DeepPartial<PodSandboxConfig>;
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
      await node.containerd.importImage(await busyboxImage(BUSYBOX, built().busybox));
      return test;
    } catch (error) {
      await node.stop();
      throw error;
    }
  }

  get cri(): CriClient {
    return this.node.cri;
  }

  /** Imports what runc's pods need: an image to rest in. */
  async importPause(): Promise<void> {
    await this.node.containerd.importImage(pauseImage(await busyboxImage(BUSYBOX, built().busybox)));
  }

  /** Runs a hostNetwork pod without containers. */
  async runPod(options: PodOptions = {}): Promise<TestPod> {
    const name = `pod${this.nextName++}`;
    const logs = join(this.node.directory, "logs", name);
    await mkdir(logs, { recursive: true });
    const config = hostNetworkPod(name, { logDirectory: logs, ...options.config });
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
      command: commandWords(command),
      logPath: `${name}.log`,
      ...more,
    };
    const id = await this.cri.createContainer(pod.id, config, pod.config);
    this.ids.push(id);
    return { id, pod, logFile: join(pod.logs, `${name}.log`) };
  }

  /** Runs a command by ExecSync; with a string, a shell runs it. */
  exec(container: TestContainer, command: string | readonly string[], timeout = 0): Promise<Finished> {
    return execText(this.cri, container.id, command, timeout);
  }

  /** Runs a shell with a terminal, types into it and waits for its end; `stdout` is its screen. */
  typeInto(container: TestContainer, typed: string): Promise<Finished> {
    return typeIntoShell(this.cri, container.id, [typed]);
  }

  /** The container's log as it is now. */
  readLog(container: TestContainer): Promise<LogLine[]> {
    return readContainerLog(container.logFile);
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

  removePod(pod: TestPod): Promise<void> {
    return removePod(this.cri, pod.id);
  }

  /** Stops and removes every pod that is there: after each test, so that none sees another's. */
  stopAll(): Promise<void> {
    return removeAllPods(this.cri);
  }

  /** What is left on the host of everything that was ever made here; call it when all pods are removed. */
  leftovers(): Promise<Leftover[]> {
    return podLeftovers(this.ids, this.node);
  }

  /** Ends the node; throws if anything of it is left. */
  async stop(): Promise<void> {
    await this.stopAll().catch(() => undefined);
    await this.node.stop();
    const remains = await this.node.remains();
    if (remains.length > 0) throw new Error(`left behind: ${remains.join("; ")}`);
  }
}
