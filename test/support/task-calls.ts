/**
 * Calls of containerd.task.v3.Task, as containerd makes them: encoded, answered by a dispatcher in front of the fake
 * service, decoded.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { silentLogger } from "../../src/contracts/logger.ts";
import { CreateTaskRequest, TaskDefinition } from "../../src/rpc/generated/containerd/task/v3/task.ts";
import { createTaskService } from "../../src/rpc/task/service.ts";
import { decodeFrame, FRAME_RESPONSE } from "../../src/rpc/ttrpc/codec.ts";
import { TtrpcDispatcher } from "../../src/rpc/ttrpc/dispatcher.ts";
import { FakeTaskService } from "./fake-services/task-service.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { type CalledMethod, decodeResponse, encodeRequest, type TtrpcCallOptions } from "./ttrpc-client.ts";

export const methods = TaskDefinition.methods;
export const context = { connection: 1, signal: new AbortController().signal };

export function taskCalls() {
  const tasks = new FakeTaskService();
  const dispatcher = new TtrpcDispatcher([createTaskService(tasks)], silentLogger);
  async function call<Req, Res>(
    method: CalledMethod<Req, Res>,
    request: Req,
    options: TtrpcCallOptions & { signal?: AbortSignal } = {},
  ): Promise<Res> {
    const raw = encodeRequest(5, TaskDefinition.fullName, method, request, options);
    const { signal = context.signal } = options;
    const answer = decodeFrame(await dispatcher.handleMessage(raw, { connection: 1, signal }));
    expect(answer).toMatchObject({ streamId: 5, type: FRAME_RESPONSE, flags: 0 });
    return decodeResponse(method, answer.payload);
  }
  return { tasks, dispatcher, call };
}

export async function makeBundle(files: Record<string, string>): Promise<string> {
  const bundle = join(await temporaryDirectory(), "c1");
  await mkdir(bundle);
  for (const [name, text] of Object.entries(files)) await writeFile(join(bundle, name), text);
  return bundle;
}

export const SPEC = { ociVersion: "1.2.0", annotations: { "io.kubernetes.cri.sandbox-id": "annotated" } };

export function createRequest(bundle: string, more: Partial<CreateTaskRequest> = {}): CreateTaskRequest {
  const rootfs = [{ type: "overlay", source: "overlay", target: "", options: ["lowerdir=/a"] }];
  return CreateTaskRequest.fromPartial({ id: "c1", bundle, rootfs, stdout: "/o", stderr: "/e", ...more });
}

export async function runningTask() {
  const world = taskCalls();
  const bundle = await makeBundle({ "config.json": JSON.stringify(SPEC), sandbox: "s1" });
  await world.call(methods.create, createRequest(bundle));
  await world.call(methods.start, { id: "c1", execId: "" });
  return { ...world, bundle };
}
