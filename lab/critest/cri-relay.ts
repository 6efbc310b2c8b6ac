/**
 * Stands between critest and containerd, and makes every pod a hostNetwork pod: blazar has no pod networks yet.
 *
 * critest cannot be told to. All else goes through as it is, in both directions. Calls with streams are left out, as
 * critest makes none. It goes when blazar has pod networks (issue 13).
 */
import {
  Client,
  credentials,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServiceDefinition,
} from "@grpc/grpc-js";
import {
  CreateContainerRequest,
  NamespaceMode,
  PodSandboxConfig,
  RunPodSandboxRequest,
} from "../../src/rpc/generated/runtime/v1/cri.ts";

/** The unary methods of CRI v1; the generated client has only those that the product and the lab call. */
const METHODS = {
  "runtime.v1.RuntimeService": [
    ...["Version", "Status", "RuntimeConfig", "UpdateRuntimeConfig"],
    ...["RunPodSandbox", "StopPodSandbox", "RemovePodSandbox", "PodSandboxStatus", "ListPodSandbox"],
    ...["UpdatePodSandboxResources", "PodSandboxStats", "ListPodSandboxStats", "PortForward"],
    ...["ListMetricDescriptors", "ListPodSandboxMetrics"],
    ...["CreateContainer", "StartContainer", "StopContainer", "RemoveContainer", "ListContainers"],
    ...["ContainerStatus", "UpdateContainerResources", "ReopenContainerLog", "CheckpointContainer"],
    ...["ContainerStats", "ListContainerStats", "ExecSync", "Exec", "Attach"],
  ],
  "runtime.v1.ImageService": ["ListImages", "ImageStatus", "PullImage", "RemoveImage", "ImageFsInfo"],
} as const;

const MAX_MESSAGE_BYTES = 64 * 2 ** 20;
const OPTIONS = {
  "grpc.enable_channelz": 0,
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
};

type Rewrite = (request: Buffer) => Buffer;

/** Requests that say which network a pod has, by their method. */
const REWRITES: Readonly<Record<string, Rewrite>> = {
  RunPodSandbox: (bytes) => {
    const request = RunPodSandboxRequest.decode(bytes);
    return Buffer.from(RunPodSandboxRequest.encode({ ...request, config: onHost(request.config) }).finish());
  },
  CreateContainer: (bytes) => {
    const request = CreateContainerRequest.decode(bytes);
    const sandboxConfig = onHost(request.sandboxConfig);
    return Buffer.from(CreateContainerRequest.encode({ ...request, sandboxConfig }).finish());
  },
};

/** The same pod in the host's network. */
export function onHost(config: PodSandboxConfig | undefined): PodSandboxConfig {
  const pod = PodSandboxConfig.fromPartial(config ?? {});
  const security = pod.linux?.securityContext;
  const namespaceOptions = { ...security?.namespaceOptions, network: NamespaceMode.NODE };
  return PodSandboxConfig.fromPartial({
    ...pod,
    linux: { ...pod.linux, securityContext: { ...security, namespaceOptions } },
  });
}

export class HostNetworkRelay {
  private constructor(
    /** Where critest connects to. */
    readonly socket: string,
    private readonly server: Server,
    private readonly client: Client,
  ) {}

  /** @param socket made here @param containerd containerd's gRPC socket */
  static async start(socket: string, containerd: string): Promise<HostNetworkRelay> {
    const client = new Client(`unix:${containerd}`, credentials.createInsecure(), OPTIONS);
    const server = new Server(OPTIONS);
    for (const [service, methods] of Object.entries(METHODS)) addService(server, client, service, methods);
    await new Promise<void>((resolve, reject) => {
      const insecure = ServerCredentials.createInsecure();
      server.bindAsync(`unix:${socket}`, insecure, (error) => (error === null ? resolve() : reject(error)));
    });
    return new HostNetworkRelay(socket, server, client);
  }

  stop(): void {
    this.server.forceShutdown();
    this.client.close();
  }
}

function same(bytes: Buffer): Buffer {
  return bytes;
}

function addService(server: Server, client: Client, service: string, methods: readonly string[]): void {
  const path = (method: string) => `/${service}/${method}`;
  const shape = {
    ...{ requestStream: false, responseStream: false, requestSerialize: same, requestDeserialize: same },
    ...{ responseSerialize: same, responseDeserialize: same },
  };
  const definition = methods.map((method) => [method, { ...shape, path: path(method) }]);
  const handlers = methods.map((method) => [method, forward(client, path(method), REWRITES[method] ?? same)]);
  server.addService(Object.fromEntries(definition) as ServiceDefinition, Object.fromEntries(handlers));
}

function forward(client: Client, path: string, rewrite: Rewrite): handleUnaryCall<Buffer, Buffer> {
  return (call, answer) => {
    const deadline = call.getDeadline();
    const outer = client.makeUnaryRequest(path, same, same, rewrite(call.request), { deadline }, answer);
    call.on("cancelled", () => outer.cancel());
  };
}
