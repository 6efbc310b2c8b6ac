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
  ImageServiceService,
  NamespaceMode,
  PodSandboxConfig,
  RunPodSandboxRequest,
  RuntimeServiceService,
} from "../../src/rpc/generated/runtime/v1/cri.ts";

const MAX_MESSAGE_BYTES = 64 * 2 ** 20;
const OPTIONS = {
  "grpc.enable_channelz": 0,
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
};

type Rewrite = (request: Buffer) => Buffer;

/** Requests that say which network a pod has, by their method. */
const REWRITES: Readonly<Record<string, Rewrite>> = {
  runPodSandbox: (bytes) => {
    const request = RunPodSandboxRequest.decode(bytes);
    return Buffer.from(RunPodSandboxRequest.encode({ ...request, config: onHost(request.config) }).finish());
  },
  createContainer: (bytes) => {
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
    for (const service of [RuntimeServiceService, ImageServiceService]) addService(server, service, client);
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

function addService(server: Server, service: ServiceDefinition, client: Client): void {
  const unary = Object.entries(service).filter(
    ([, { requestStream, responseStream }]) => !requestStream && !responseStream,
  );
  const same = (bytes: Buffer): Buffer => bytes;
  const raw = { requestSerialize: same, requestDeserialize: same, responseSerialize: same };
  const definition = unary.map(([name, method]) => [name, { ...method, ...raw, responseDeserialize: same }]);
  const handlers = unary.map(([name, { path }]) => [name, forward(client, path, REWRITES[name] ?? same)]);
  server.addService(Object.fromEntries(definition), Object.fromEntries(handlers));
}

function forward(client: Client, path: string, rewrite: Rewrite): handleUnaryCall<Buffer, Buffer> {
  const same = (bytes: Buffer): Buffer => bytes;
  return (call, answer) => {
    const deadline = call.getDeadline();
    const outer = client.makeUnaryRequest(path, same, same, rewrite(call.request), { deadline }, answer);
    call.on("cancelled", () => outer.cancel());
  };
}
