/**
 * A small typed client of the Container Runtime Interface, over grpc-js: what kubelet and crictl do, as promises.
 *
 * One method for each RPC: it takes ids and returns the useful part of the answer. Requests may leave out empty fields.
 * A failure is a BlazarError that names the call, with containerd's answer in its code. Streams (exec, attach) are in
 * streaming.ts.
 */
import { Client, credentials } from "@grpc/grpc-js";
import {
  type Container,
  type ContainerConfig,
  ContainerFilter,
  type ContainerStats,
  ContainerStatsFilter,
  type ContainerStatusResponse,
  CreateContainerRequest,
  type DeepPartial,
  type ExecSyncResponse,
  type Image,
  ImageServiceService,
  ImageSpec,
  type ImageStatusResponse,
  LinuxContainerResources,
  type LinuxRuntimeConfiguration,
  type PodSandbox,
  PodSandboxConfig,
  PodSandboxFilter,
  type PodSandboxMetrics,
  type PodSandboxStats,
  type PodSandboxStatusResponse,
  RuntimeServiceService,
  type StatusResponse,
  type VersionResponse,
} from "../../src/rpc/generated/runtime/v1/cri.ts";
import { callUnary, type UnaryMethod } from "../../src/rpc/grpc/unary.ts";
import { fromStatus, isServiceError } from "../../src/rpc/status.ts";
import { patient } from "../host/patience.ts";
import { ForwardedPort } from "./port-forward.ts";
import { type Dial, openRemoteProcess, type RemoteProcess, type RemoteStreams } from "./streaming.ts";

/** ExecSync's output comes in one message; containerd caps each stream at 16 MiB. */
const MAX_ANSWER_BYTES = 40 * 1024 * 1024;
/** kubelet's own limit on a call. */
const DEFAULT_TIMEOUT_MS = 120_000;

const runtime = RuntimeServiceService;
const images = ImageServiceService;

export interface CriClientOptions {
  /** How long a call may take, in ms; 120,000 if absent. Stop and ExecSync add their own time to it. */
  readonly timeoutMs?: number;
  /** How the streaming server is reached, if containerd is in another network namespace. */
  readonly dial?: Dial | undefined;
}

/**
 * @example
 * const cri = new CriClient("/run/containerd/containerd.sock");
 * const pod = await cri.runPodSandbox({ metadata: { name: "p", uid: "1", namespace: "default" } }, "blazar");
 * const id = await cri.createContainer(pod, { metadata: { name: "c" }, image: { image: "busybox" } }, {…});
 * await cri.startContainer(id);
 * const { stdout, exitCode } = await cri.execSync(id, ["uname", "-r"]);
 */
export class CriClient {
  private readonly client: Client;
  private readonly timeoutMs: number;
  private readonly dial: Dial | undefined;

  /** @param socket containerd's gRPC socket, an absolute path; it is connected to at the first call */
  constructor(socket: string, options: CriClientOptions = {}) {
    this.timeoutMs = options.timeoutMs ?? patient(DEFAULT_TIMEOUT_MS);
    this.dial = options.dial;
    this.client = new Client(`unix:${socket}`, credentials.createInsecure(), {
      "grpc.enable_channelz": 0,
      "grpc.max_receive_message_length": MAX_ANSWER_BYTES,
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 1_000,
    });
  }

  /** Closes the connection; calls in flight fail. */
  close(): void {
    this.client.close();
  }

  // --- the runtime

  version(): Promise<VersionResponse> {
    return this.call(runtime.version, { version: "v1" });
  }

  /** The runtime's conditions and handlers. */
  status(verbose = false): Promise<StatusResponse> {
    return this.call(runtime.status, { verbose });
  }

  async runtimeConfig(): Promise<LinuxRuntimeConfiguration | undefined> {
    return (await this.call(runtime.runtimeConfig, {})).linux;
  }

  // --- pod sandboxes

  /** Makes and starts a pod's sandbox; returns its id. */
  async runPodSandbox(config: DeepPartial<PodSandboxConfig>, runtimeHandler = ""): Promise<string> {
    const request = { config: PodSandboxConfig.fromPartial(config), runtimeHandler };
    return (await this.call(runtime.runPodSandbox, request)).podSandboxId;
  }

  async stopPodSandbox(podSandboxId: string): Promise<void> {
    await this.call(runtime.stopPodSandbox, { podSandboxId });
  }

  async removePodSandbox(podSandboxId: string): Promise<void> {
    await this.call(runtime.removePodSandbox, { podSandboxId });
  }

  /** What kubelet calls after it has changed a pod's control group; containerd has it from 2.2 on. */
  async updatePodSandboxResources(
    podSandboxId: string,
    resources: DeepPartial<LinuxContainerResources>,
    overhead: DeepPartial<LinuxContainerResources> = {},
  ): Promise<void> {
    await this.call(runtime.updatePodSandboxResources, {
      podSandboxId,
      resources: LinuxContainerResources.fromPartial(resources),
      overhead: LinuxContainerResources.fromPartial(overhead),
    });
  }

  /** @param verbose also the sandboxer's own facts, under `info` */
  podSandboxStatus(podSandboxId: string, verbose = false): Promise<PodSandboxStatusResponse> {
    return this.call(runtime.podSandboxStatus, { podSandboxId, verbose });
  }

  async listPodSandboxes(filter: DeepPartial<PodSandboxFilter> = {}): Promise<PodSandbox[]> {
    const request = { filter: PodSandboxFilter.fromPartial(filter) };
    return (await this.call(runtime.listPodSandbox, request)).items;
  }

  async podSandboxStats(podSandboxId: string): Promise<PodSandboxStats | undefined> {
    return (await this.call(runtime.podSandboxStats, { podSandboxId })).stats;
  }

  /** One pod's, by ListPodSandboxStats, which also tells how much of a CPU it uses now. */
  async listPodSandboxStats(id: string): Promise<PodSandboxStats[]> {
    return (await this.call(runtime.listPodSandboxStats, { filter: { id, labelSelector: {} } })).stats;
  }

  /** The names of the metrics that {@link listPodSandboxMetrics} tells. */
  async listMetricDescriptors(): Promise<string[]> {
    return (await this.call(runtime.listMetricDescriptors, {})).descriptors.map(({ name }) => name);
  }

  async listPodSandboxMetrics(): Promise<PodSandboxMetrics[]> {
    return (await this.call(runtime.listPodSandboxMetrics, {})).podMetrics;
  }

  /** Connects to a port of a pod, as `kubectl port-forward` does. */
  async portForward(podSandboxId: string, port: number): Promise<ForwardedPort> {
    return ForwardedPort.open(await this.portForwardUrl(podSandboxId, [port]), port, this.dial);
  }

  /** The URL at which containerd forwards ports of the pod; nothing is forwarded yet. */
  async portForwardUrl(podSandboxId: string, port: number[]): Promise<string> {
    return (await this.call(runtime.portForward, { podSandboxId, port })).url;
  }

  // --- containers

  /** @param sandboxConfig what {@link runPodSandbox} was given; returns the container's id */
  async createContainer(
    podSandboxId: string,
    config: DeepPartial<ContainerConfig>,
    sandboxConfig: DeepPartial<PodSandboxConfig>,
  ): Promise<string> {
    const request = CreateContainerRequest.fromPartial({ podSandboxId, config, sandboxConfig });
    return (await this.call(runtime.createContainer, request)).containerId;
  }

  async startContainer(containerId: string): Promise<void> {
    await this.call(runtime.startContainer, { containerId });
  }

  /** @param timeout seconds between the stop signal and SIGKILL */
  async stopContainer(containerId: string, timeout = 0): Promise<void> {
    await this.call(runtime.stopContainer, { containerId, timeout }, timeout);
  }

  async removeContainer(containerId: string): Promise<void> {
    await this.call(runtime.removeContainer, { containerId });
  }

  async listContainers(filter: DeepPartial<ContainerFilter> = {}): Promise<Container[]> {
    const request = { filter: ContainerFilter.fromPartial(filter) };
    return (await this.call(runtime.listContainers, request)).containers;
  }

  containerStatus(containerId: string, verbose = false): Promise<ContainerStatusResponse> {
    return this.call(runtime.containerStatus, { containerId, verbose });
  }

  async updateContainerResources(
    containerId: string,
    linux: DeepPartial<LinuxContainerResources>,
  ): Promise<void> {
    const request = { containerId, linux: LinuxContainerResources.fromPartial(linux), annotations: {} };
    await this.call(runtime.updateContainerResources, request);
  }

  async reopenContainerLog(containerId: string): Promise<void> {
    await this.call(runtime.reopenContainerLog, { containerId });
  }

  async containerStats(containerId: string): Promise<ContainerStats | undefined> {
    return (await this.call(runtime.containerStats, { containerId })).stats;
  }

  async listContainerStats(filter: DeepPartial<ContainerStatsFilter> = {}): Promise<ContainerStats[]> {
    const request = { filter: ContainerStatsFilter.fromPartial(filter) };
    return (await this.call(runtime.listContainerStats, request)).stats;
  }

  // --- processes

  /** Runs a command to its end. @param timeout seconds until it is killed; 0 means never */
  execSync(containerId: string, cmd: string[], timeout = 0): Promise<ExecSyncResponse> {
    return this.call(runtime.execSync, { containerId, cmd, timeout }, timeout);
  }

  /** Runs a command with its streams connected; resolves once it runs. */
  async exec(containerId: string, cmd: string[], streams: RemoteStreams = {}): Promise<RemoteProcess> {
    const { tty = false, stdin } = streams;
    const request = { containerId, cmd, tty, stdin: stdin !== undefined, stdout: true, stderr: !tty };
    const { url } = await this.call(runtime.exec, request);
    return openRemoteProcess(url, "exec", streams, this.dial);
  }

  /** Connects to the container's own streams; `exitCode` resolves to 0 when they end. */
  async attach(containerId: string, streams: RemoteStreams = {}): Promise<RemoteProcess> {
    const { tty = false, stdin } = streams;
    const request = { containerId, tty, stdin: stdin !== undefined, stdout: true, stderr: !tty };
    const { url } = await this.call(runtime.attach, request);
    return openRemoteProcess(url, "attach", streams, this.dial);
  }

  // --- images

  async listImages(): Promise<Image[]> {
    return (await this.call(images.listImages, { filter: undefined })).images;
  }

  /** `image` is undefined if the runtime has no such image. */
  imageStatus(image: string, verbose = false): Promise<ImageStatusResponse> {
    return this.call(images.imageStatus, { image: ImageSpec.fromPartial({ image }), verbose });
  }

  async removeImage(image: string): Promise<void> {
    await this.call(images.removeImage, { image: ImageSpec.fromPartial({ image }) });
  }

  /** @param extraSeconds how long the call itself may wait, in addition to the client's own timeout */
  private async call<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, extraSeconds = 0): Promise<Res> {
    try {
      const timeoutMs = this.timeoutMs + extraSeconds * 1000;
      return await callUnary(this.client, method, request, { timeoutMs });
    } catch (error) {
      if (!isServiceError(error)) throw error;
      const name = method.path.slice(method.path.lastIndexOf("/") + 1);
      throw fromStatus(error.code, error.details, `call CRI's ${name}`, error);
    }
  }
}
