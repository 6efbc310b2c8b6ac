/** The Controller adapter behind a real socket, over a fake sandbox service, with a client of it. */
import { join } from "node:path";
import { Client, credentials } from "@grpc/grpc-js";
import { onTestFinished } from "vitest";
import { silentLogger } from "../../src/contracts/logger.ts";
import { ControllerServer, type ControllerServerOptions } from "../../src/rpc/controller/server.ts";
import {
  ControllerCreateRequest,
  ControllerService,
} from "../../src/rpc/generated/containerd/services/sandbox/v1/controller.ts";
import type { DeepPartial } from "../../src/rpc/generated/containerd/types/types.ts";
import { callUnary, type UnaryMethod, type UnaryOptions } from "../../src/rpc/grpc/unary.ts";
import { FakeSandboxService } from "./fake-services/sandbox-service.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

export const TASK_ADDRESS = "ttrpc+unix:///run/blazar/task.sock";
export const sandboxer = "blazar";

/** Ends with the test. */
export async function serve(options: Pick<ControllerServerOptions, "unusedMs"> = {}) {
  const path = join(await temporaryDirectory(), "blazar.sock");
  const sandboxes = new FakeSandboxService();
  const server = new ControllerServer({
    sandboxes,
    taskAddress: TASK_ADDRESS,
    logger: silentLogger,
    ...options,
  });
  await server.listen(path);
  onTestFinished(() => server.close());
  const client = new Client(`unix:${path}`, credentials.createInsecure());
  onTestFinished(() => client.close());
  const call = <Req, Res>(method: UnaryMethod<Req, Res>, request: Req, options?: UnaryOptions) =>
    callUnary(client, method, request, options);
  return { path, sandboxes, server, call };
}

export function createRequest(request: DeepPartial<ControllerCreateRequest> = {}): ControllerCreateRequest {
  return ControllerCreateRequest.fromPartial({ sandboxId: "s1", sandboxer, ...request });
}

/** With a sandbox `s1` that runs. */
export async function ready() {
  const world = await serve();
  await world.call(ControllerService.create, createRequest());
  await world.call(ControllerService.start, { sandboxId: "s1", sandboxer });
  return world;
}
