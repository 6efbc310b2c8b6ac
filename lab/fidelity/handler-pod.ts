/**
 * A pod of one runtime handler, for cases of fidelity: runs containers to their end and tells what came of them.
 *
 * All cases of a handler share the pod, but for those that need a pod of their own. What a case returns is compared
 * between the handlers, so nothing here may add what differs from run to run: no ids, times or addresses.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
  ContainerState,
  type ContainerStatus,
  type DeepPartial,
  NamespaceMode,
  type PodSandboxConfig,
} from "../../src/rpc/generated/runtime/v1/cri.ts";
import type { CriClient } from "../cri/client.ts";
import { commandWords, execText, typeIntoShell } from "../cri/commands.ts";
import { readContainerLog } from "../cri/container-log.ts";
import { type Patience, until } from "../host/until.ts";
import { hostNetworkPod } from "../node/pods.ts";

export type ContainerConfig = Parameters<CriClient["createContainer"]>[1];
export type PodConfig = DeepPartial<PodSandboxConfig>;

export const HANDLERS = ["runc", "blazar"] as const;
export type Handler = (typeof HANDLERS)[number];

/** What pods and containers are made with. */
export interface PodMaker {
  readonly cri: CriClient;
  readonly image: string;
  /** Where the logs go. */
  readonly directory: string;
  /** Runs ctr, which asks for what CRI does not have; resolves to what it prints. */
  readonly ctr: (...args: string[]) => Promise<string>;
}

let count = 0;

export class HandlerPod {
  private constructor(
    private readonly maker: PodMaker,
    readonly id: string,
    private readonly config: PodConfig,
  ) {}

  /** @param handler a runtime handler of the node's */
  static async start(maker: PodMaker, handler: string, more: PodConfig = {}): Promise<HandlerPod> {
    const name = `fidelity-${++count}`;
    const logDirectory = join(maker.directory, "logs", name);
    await mkdir(logDirectory, { recursive: true });
    const config = hostNetworkPod(name, withNamespaces({ logDirectory, ...more }));
    return new HandlerPod(maker, await maker.cri.runPodSandbox(config, handler), config);
  }

  async remove(): Promise<void> {
    await this.maker.cri.stopPodSandbox(this.id);
    await this.maker.cri.removePodSandbox(this.id);
  }

  /** Runs a container to its end: its output, its exit code and the reason that containerd gives. */
  async run(
    command: string | readonly string[],
    more: ContainerConfig = {},
    patience: Partial<Patience> = {},
  ): Promise<string> {
    const { id, log } = await this.create(command, more);
    try {
      await this.cri.startContainer(id);
      const { exitCode, reason } = await this.ended(id, patience);
      const lines = await readContainerLog(log);
      // nothing promises the order of lines of different streams
      const text = ["stdout", "stderr"].flatMap((name) =>
        lines.filter(({ stream }) => stream === name).map((line) => line.text),
      );
      return [...text, `exit ${exitCode} ${reason}`].join("\n");
    } finally {
      await this.cri.removeContainer(id);
    }
  }

  /** Starts a container that stays, for as long as `use` takes. */
  async during<T>(
    use: (id: string) => Promise<T>,
    command: string | readonly string[],
    more: ContainerConfig = {},
  ): Promise<T> {
    const { id } = await this.create(command, more);
    try {
      await this.cri.startContainer(id);
      return await use(id);
    } finally {
      await this.cri.stopContainer(id, 0);
      await this.cri.removeContainer(id);
    }
  }

  /** Runs one more process in a container that only sleeps. */
  exec(script: string, more: ContainerConfig = {}): Promise<string> {
    return this.during((id) => this.execIn(id, script), "exec sleep 1000", more);
  }

  async execIn(id: string, script: string): Promise<string> {
    const { code, stdout, stderr } = await execText(this.cri, id, script);
    return `${stdout}${stderr}exit ${code}`;
  }

  /** Types into a shell with a terminal of a container that only sleeps; returns its screen. */
  type(
    lines: readonly string[],
    size: readonly [columns: number, rows: number],
    more: ContainerConfig = {},
  ): Promise<string> {
    return this.during(
      async (id) => {
        const { code, stdout } = await typeIntoShell(this.cri, id, lines, size);
        return `${stdout}exit ${code}`;
      },
      "exec sleep 1000",
      more,
    );
  }

  get cri(): CriClient {
    return this.maker.cri;
  }

  ctr(...args: string[]): Promise<string> {
    return this.maker.ctr(...args);
  }

  ended(id: string, patience: Partial<Patience> = {}): Promise<ContainerStatus> {
    const ended = async (): Promise<ContainerStatus | undefined> => {
      const { status } = await this.cri.containerStatus(id);
      return status?.state === ContainerState.CONTAINER_EXITED ? status : undefined;
    };
    return until(`the end of ${id}`, ended, patience);
  }

  private async create(
    command: string | readonly string[],
    more: ContainerConfig,
  ): Promise<{ id: string; log: string }> {
    const name = `c${++count}`;
    const config = {
      metadata: { name, attempt: 0 },
      image: { image: this.maker.image },
      command: commandWords(command),
      logPath: `${name}.log`,
      ...withNamespaces(more),
    };
    const id = await this.cri.createContainer(this.id, config, this.config);
    return { id, log: join(this.config.logDirectory ?? "", config.logPath) };
  }
}

/** Whether a call fails: kubelet acts on that, and not on the words, which are each runtime's own. */
export async function failureOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "no failure",
    () => "refused",
  );
}

/** Namespaces as kubelet asks for them where a pod says nothing; CRI's own default is one PID namespace for the pod. */
const NAMESPACES = { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER };

/** The configuration of a pod or container with the usual namespaces, unless it has its own. */
function withNamespaces<Config extends Pick<ContainerConfig, "linux">>(config: Config): Config {
  const security = config.linux?.securityContext;
  const namespaceOptions = { ...NAMESPACES, ...security?.namespaceOptions };
  return { ...config, linux: { ...config.linux, securityContext: { ...security, namespaceOptions } } };
}
