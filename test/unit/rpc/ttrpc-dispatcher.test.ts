import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { blazarError } from "../../../src/contracts/errors.ts";
import { silentLogger } from "../../../src/contracts/logger.ts";
import { CreateTaskRequest, TaskDefinition } from "../../../src/rpc/generated/containerd/task/v3/task.ts";
import { Status } from "../../../src/rpc/generated/containerd/types/task.ts";
import { Response } from "../../../src/rpc/generated/ttrpc/ttrpc.ts";
import { createTaskService } from "../../../src/rpc/task/service.ts";
import { decodeFrame, encodeFrame, FRAME_RESPONSE } from "../../../src/rpc/ttrpc/codec.ts";
import { TtrpcDispatcher } from "../../../src/rpc/ttrpc/dispatcher.ts";
import { bindMethod } from "../../../src/rpc/ttrpc/service.ts";
import { FakeTaskService } from "../../support/fake-services/task-service.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import {
  type CalledMethod,
  decodeResponse,
  encodeRequest,
  type TtrpcCallOptions,
} from "../../support/ttrpc-client.ts";

const methods = TaskDefinition.methods;
const context = { connection: 1, signal: new AbortController().signal };

function setUp() {
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

async function makeBundle(files: Record<string, string>): Promise<string> {
  const bundle = join(await temporaryDirectory(), "c1");
  await mkdir(bundle);
  for (const [name, text] of Object.entries(files)) await writeFile(join(bundle, name), text);
  return bundle;
}

const SPEC = { ociVersion: "1.2.0", annotations: { "io.kubernetes.cri.sandbox-id": "annotated" } };

function createRequest(bundle: string, more: Partial<CreateTaskRequest> = {}): CreateTaskRequest {
  const rootfs = [{ type: "overlay", source: "overlay", target: "", options: ["lowerdir=/a"] }];
  return CreateTaskRequest.fromPartial({ id: "c1", bundle, rootfs, stdout: "/o", stderr: "/e", ...more });
}

async function running() {
  const world = setUp();
  const bundle = await makeBundle({ "config.json": JSON.stringify(SPEC), sandbox: "s1" });
  await world.call(methods.create, createRequest(bundle));
  await world.call(methods.start, { id: "c1", execId: "" });
  return { ...world, bundle };
}

describe("Task.Create", () => {
  it("hands over the mounts, the parsed spec, the namespace and the sandbox that the bundle names", async () => {
    const { tasks, call } = setUp();
    const bundle = await makeBundle({ "config.json": JSON.stringify(SPEC), sandbox: "s1\n" });
    const metadata = { "containerd-namespace-ttrpc": "k8s.io" };
    expect(await call(methods.create, createRequest(bundle), { metadata })).toEqual({ pid: 1000 });
    expect(tasks.created).toEqual([
      {
        id: "c1",
        bundle,
        sandboxId: "s1",
        namespace: "k8s.io",
        spec: SPEC,
        rootfs: [{ type: "overlay", source: "overlay", target: "", options: ["lowerdir=/a"] }],
        stdin: "",
        stdout: "/o",
        stderr: "/e",
        terminal: false,
      },
    ]);
  });

  it("falls back to the sandbox that the spec's annotations name", async () => {
    const { tasks, call } = setUp();
    await call(methods.create, createRequest(await makeBundle({ "config.json": JSON.stringify(SPEC) })));
    expect(tasks.created[0]?.sandboxId).toBe("annotated");
  });

  it("ignores the stderr FIFO of a terminal", async () => {
    const { tasks, call } = setUp();
    const bundle = await makeBundle({ "config.json": "{}" });
    await call(methods.create, createRequest(bundle, { terminal: true }));
    expect(tasks.created[0]).toMatchObject({ terminal: true, stdout: "/o", stderr: "" });
  });

  it("names the file when the spec is missing or is not JSON", async () => {
    const { call } = setUp();
    const missing = call(methods.create, createRequest(await makeBundle({})));
    await expect(missing).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      message: expect.stringContaining("config.json"),
    });
    const broken = call(methods.create, createRequest(await makeBundle({ "config.json": "{" })));
    await expect(broken).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  it("refuses an id that would climb out of a directory", async () => {
    const { tasks, call } = setUp();
    const bundle = await makeBundle({ "config.json": "{}" });
    const refused = call(methods.create, createRequest(bundle, { id: "../../etc" }));
    await expect(refused).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(tasks.created).toEqual([]);
  });

  it("never answers Unimplemented, or containerd would try again as task.v2", async () => {
    const { tasks, call } = setUp();
    const bundle = await makeBundle({ "config.json": "{}" });
    tasks.failWith("create", blazarError("Unimplemented", "use it", "not yet"));
    const refused = call(methods.create, createRequest(bundle));
    await expect(refused).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      message: expect.stringContaining("not yet"),
    });
    const restore = call(methods.create, createRequest(bundle, { checkpoint: "/c" }));
    await expect(restore).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  });
});

describe("the other Task methods", () => {
  it("report the state of a process while it runs and once it has ended", async () => {
    const { tasks, call, bundle } = await running();
    expect(await call(methods.state, { id: "c1", execId: "" })).toEqual({
      id: "c1",
      execId: "",
      bundle,
      pid: 1000,
      status: Status.RUNNING,
      stdin: "",
      stdout: "/o",
      stderr: "/e",
      terminal: false,
      exitStatus: 0,
      exitedAt: undefined,
    });
    tasks.end("c1", "", 3, new Date(1_700_000_000_250));
    expect(await call(methods.state, { id: "c1", execId: "" })).toMatchObject({
      status: Status.STOPPED,
      exitStatus: 3,
      exitedAt: { seconds: 1_700_000_000n, nanos: 250_000_000 },
    });
    expect(await call(methods.delete, { id: "c1", execId: "" })).toMatchObject({ pid: 1000, exitStatus: 3 });
  });

  it("add a process from the JSON in the request", async () => {
    const { tasks, call } = await running();
    const process = { args: ["sh"], cwd: "/" };
    const spec = {
      typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Process",
      value: Buffer.from(JSON.stringify(process)),
    };
    const io = { stdin: "/i", stdout: "/o", stderr: "/e" };
    await call(methods.exec, { id: "c1", execId: "e1", terminal: true, ...io, spec });
    expect(tasks.execs).toEqual([{ process, ...io, stderr: "", terminal: true }]);
    const broken = { ...spec, value: Buffer.from("{") };
    const refused = call(methods.exec, { id: "c1", execId: "e2", terminal: false, ...io, spec: broken });
    await expect(refused).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    const none = call(methods.exec, { id: "c1", execId: "e2", terminal: false, ...io, spec: undefined });
    await expect(none).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  it("pass on signals, sizes and the end of input", async () => {
    const { tasks, call } = await running();
    await call(methods.kill, { id: "c1", execId: "", signal: 15, all: true });
    await call(methods.resizePty, { id: "c1", execId: "", width: 80, height: 24 });
    await call(methods.closeIO, { id: "c1", execId: "", stdin: false });
    await call(methods.closeIO, { id: "c1", execId: "", stdin: true });
    await call(methods.shutdown, { id: "c1", now: false });
    expect(tasks.calls).toEqual(["kill c1  15 true", "resizePty c1  80 24", "closeIO c1 ", "shutdown c1"]);
  });

  it("name the pids of a task", async () => {
    const { call } = await running();
    expect(await call(methods.pids, { id: "c1" })).toEqual({ processes: [{ pid: 1000, info: undefined }] });
    expect(await call(methods.connect, { id: "c1" })).toEqual({
      shimPid: process.pid,
      taskPid: 1000,
      version: "3",
    });
  });

  it("answer NotFound for an unknown container", async () => {
    const { call } = setUp();
    await expect(call(methods.state, { id: "nope", execId: "" })).rejects.toMatchObject({
      code: status.NOT_FOUND,
      message: expect.stringContaining("nope"),
    });
  });

  it("refuse what is not there yet with a sentence, never with an empty success", async () => {
    const { call } = await running();
    const refusal = { code: status.UNIMPLEMENTED, message: expect.stringMatching(/^cannot .+ \(c1\): .+/) };
    await expect(call(methods.stats, { id: "c1" })).rejects.toMatchObject(refusal);
    await expect(call(methods.pause, { id: "c1" })).rejects.toMatchObject(refusal);
    await expect(call(methods.resume, { id: "c1" })).rejects.toMatchObject(refusal);
    const update = call(methods.update, { id: "c1", resources: undefined, annotations: {} });
    await expect(update).rejects.toMatchObject(refusal);
    const checkpoint = call(methods.checkpoint, { id: "c1", path: "", options: undefined });
    await expect(checkpoint).rejects.toMatchObject(refusal);
  });

  it("are all served", async () => {
    const served = createTaskService(new FakeTaskService()).methods.map(({ name }) => name);
    expect(served.sort()).toEqual(
      Object.values(methods)
        .map(({ name }) => name)
        .sort(),
    );
  });
});

describe("the dispatcher", () => {
  it("answers other calls while a Wait is pending", async () => {
    const { tasks, call } = await running();
    const wait = call(methods.wait, { id: "c1", execId: "" });
    expect(await call(methods.pids, { id: "c1" })).toBeDefined();
    tasks.end("c1", "", 137);
    expect(await wait).toMatchObject({ exitStatus: 137 });
  });

  it("ends a Wait whose connection is gone", async () => {
    const { tasks, call } = await running();
    const gone = new AbortController();
    const wait = call(methods.wait, { id: "c1", execId: "" }, { signal: gone.signal });
    expect(tasks.waiting).toBe(1);
    gone.abort();
    await expect(wait).rejects.toMatchObject({ code: status.CANCELLED });
    await vi.waitFor(() => expect(tasks.waiting).toBe(0));
  });

  it("answers DeadlineExceeded when a call's time is up, and tells the method", async () => {
    const { tasks, call } = await running();
    const wait = call(methods.wait, { id: "c1", execId: "" }, { timeoutMs: 5 });
    await expect(wait).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED });
    await vi.waitFor(() => expect(tasks.waiting).toBe(0));
  });

  it("answers DeadlineExceeded even if the method ignores its signal", async () => {
    const forever = bindMethod(methods.connect, () => new Promise<never>(() => undefined));
    const dispatcher = new TtrpcDispatcher([{ name: "s", methods: [forever] }], silentLogger);
    const raw = encodeRequest(1, "s", methods.connect, { id: "c" }, { timeoutMs: 5 });
    const { payload } = decodeFrame(await dispatcher.handleMessage(raw, context));
    expect(Response.decode(payload).status?.code).toBe(status.DEADLINE_EXCEEDED);
  });

  it("answers Unimplemented for an unknown service or method, and says which", async () => {
    const { dispatcher, call } = setUp();
    const unknown = { ...methods.pids, name: "Levitate" };
    await expect(call(unknown, { id: "c1" })).rejects.toMatchObject({
      code: status.UNIMPLEMENTED,
      message: expect.stringContaining("containerd.task.v3.Task/Levitate"),
    });
    const raw = encodeRequest(1, "containerd.task.v2.Task", methods.pids, { id: "c1" });
    const { payload } = decodeFrame(await dispatcher.handleMessage(raw, context));
    expect(Response.decode(payload).status).toMatchObject({
      code: status.UNIMPLEMENTED,
      message: expect.stringContaining("containerd.task.v2.Task"),
    });
  });

  it("answers an error that a method throws unexpectedly, and goes on", async () => {
    const { tasks, call } = await running();
    tasks.failWith("pids", new TypeError("boom"));
    await expect(call(methods.pids, { id: "c1" })).rejects.toMatchObject({
      code: status.INTERNAL,
      message: expect.stringContaining("boom"),
    });
    expect(await call(methods.state, { id: "c1", execId: "" })).toBeDefined();
  });

  it("refuses an answer that is too long for ttrpc", async () => {
    const long = bindMethod(methods.connect, () => ({
      shimPid: 1,
      taskPid: 1,
      version: "x".repeat(4 * 1024 * 1024),
    }));
    const dispatcher = new TtrpcDispatcher([{ name: "s", methods: [long] }], silentLogger);
    const raw = encodeRequest(1, "s", methods.connect, { id: "c" });
    const { payload } = decodeFrame(await dispatcher.handleMessage(raw, context));
    expect(Response.decode(payload).status?.code).toBe(status.RESOURCE_EXHAUSTED);
  });

  it("refuses streams with even numbers, streaming calls and messages that open no stream", async () => {
    const { dispatcher } = setUp();
    const code = async (streamId: number, type: number, flags: number): Promise<number | undefined> => {
      const answer = await dispatcher.handleMessage(
        encodeFrame(streamId, type, flags, new Uint8Array(0)),
        context,
      );
      return Response.decode(decodeFrame(answer).payload).status?.code;
    };
    expect(await code(2, 1, 0)).toBe(status.INVALID_ARGUMENT);
    expect(await code(1, 3, 0)).toBe(status.INVALID_ARGUMENT);
    expect(await code(1, 1, 2)).toBe(status.UNIMPLEMENTED);
  });

  it("answers whatever bytes come, unless not even the stream can be read", async () => {
    const { dispatcher } = setUp();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 120 }), fc.boolean(), async (bytes, isFramed) => {
        const raw = isFramed ? encodeFrame(3, 1, 0, bytes) : bytes;
        const answer = await dispatcher.handleMessage(raw, context).catch((error: unknown) => error);
        if (answer instanceof Uint8Array) {
          expect(Response.decode(decodeFrame(answer).payload).status?.code).toBeGreaterThan(0);
        } else {
          expect(answer).toMatchObject({ code: "FrameMalformed" });
          expect(isFramed).toBe(false);
        }
      }),
    );
  });
});
