/**
 * Calls a sandboxer as containerd 2.1 does, without containerd.
 *
 * For each pod: Create, Start and Wait of the sandbox; then Create, Wait and Start of a container's task, on a
 * connection of its own. It also takes the daemon's events. It owns its connections and makes no files.
 */
import { setMaxListeners } from "node:events";
import { Client, credentials } from "@grpc/grpc-js";
import { pino } from "pino";
import { EventsDefinition } from "../../src/rpc/generated/containerd/services/events/ttrpc/v1/events.ts";
import {
  ControllerCreateRequest,
  ControllerService,
} from "../../src/rpc/generated/containerd/services/sandbox/v1/controller.ts";
import { CreateTaskRequest, TaskDefinition } from "../../src/rpc/generated/containerd/task/v3/task.ts";
import { PodSandboxConfig } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { callUnary } from "../../src/rpc/grpc/unary.ts";
import { TtrpcDispatcher } from "../../src/rpc/ttrpc/dispatcher.ts";
import { TtrpcServer } from "../../src/rpc/ttrpc/server.ts";
import { bindService } from "../../src/rpc/ttrpc/service.ts";
import { TtrpcClient } from "../../test/support/ttrpc-client.ts";

/** What containerd has on disk for a container before it calls. */
export interface ContainerFiles {
  readonly bundle: string;
  readonly stdout: string;
  readonly stderr: string;
  /** Options of its overlay mount. */
  readonly overlay: readonly string[];
}

const SANDBOXER = "blazar";
const CALL_TIMEOUT_MS = 60_000;
const methods = TaskDefinition.methods;

export class Caller {
  private readonly controller: Client;
  private readonly tasks: TtrpcClient[] = [];
  private readonly waits = new AbortController();

  constructor(
    controllerSocket: string,
    private readonly taskSocket: string,
  ) {
    // every open Wait listens to it
    setMaxListeners(0, this.waits.signal);
    this.controller = new Client(`unix:${controllerSocket}`, credentials.createInsecure());
  }

  /** Brings up a pod with one container; its Waits stay open. */
  async startPod(id: string, files: ContainerFiles): Promise<void> {
    const { controller } = this;
    const timeout = { timeoutMs: CALL_TIMEOUT_MS };
    const sandbox = { sandboxId: id, sandboxer: SANDBOXER };
    const config = PodSandboxConfig.fromPartial({ metadata: { name: id, uid: id, namespace: "default" } });
    const options = {
      typeUrl: "runtime.v1.PodSandboxConfig",
      value: PodSandboxConfig.encode(config).finish(),
    };
    const create = ControllerCreateRequest.fromPartial({ ...sandbox, options });
    await callUnary(controller, ControllerService.create, create, timeout);
    await callUnary(controller, ControllerService.start, sandbox, timeout);
    callUnary(controller, ControllerService.wait, sandbox, { signal: this.waits.signal }).catch(
      () => undefined,
    );
    await this.startContainer(`${id}-main`, files);
  }

  close(): void {
    this.waits.abort();
    for (const task of this.tasks) task.close();
    this.controller.close();
  }

  private async startContainer(id: string, files: ContainerFiles): Promise<void> {
    const { bundle, stdout, stderr, overlay } = files;
    const task = new TtrpcClient(this.taskSocket, TaskDefinition.fullName);
    this.tasks.push(task);
    const mount = { type: "overlay", source: "overlay", target: "", options: [...overlay] };
    const create = CreateTaskRequest.fromPartial({ id, bundle, stdout, stderr, rootfs: [mount] });
    await task.call(methods.create, create);
    task.call(methods.wait, { id, execId: "" }).catch(() => undefined);
    await task.call(methods.start, { id, execId: "" });
  }
}

/** Takes the daemon's events and drops them. @param socket the name that containerd's own socket would have */
export async function takeEvents(socket: string): Promise<{ close(): void }> {
  const logger = pino({ level: "silent" });
  const events = bindService(EventsDefinition, { forward: () => ({}) });
  const server = new TtrpcServer(new TtrpcDispatcher([events], logger), logger);
  await server.listen(`${socket}.ttrpc`);
  return { close: () => void server.close() };
}
