/** The ttrpc dispatcher: every readable request is answered once, in time, whatever its method does. */
import { status } from "@grpc/grpc-js";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { silentLogger } from "../../../src/contracts/logger.ts";
import { Response } from "../../../src/rpc/generated/ttrpc/ttrpc.ts";
import { decodeFrame, encodeFrame } from "../../../src/rpc/ttrpc/codec.ts";
import { TtrpcDispatcher } from "../../../src/rpc/ttrpc/dispatcher.ts";
import { bindMethod } from "../../../src/rpc/ttrpc/service.ts";
import { context, methods, runningTask, taskCalls } from "../../support/task-calls.ts";
import { encodeRequest } from "../../support/ttrpc-client.ts";

describe("the dispatcher", () => {
  it("answers other calls while a Wait is pending", async () => {
    const { tasks, call } = await runningTask();
    const wait = call(methods.wait, { id: "c1", execId: "" });
    expect(await call(methods.pids, { id: "c1" })).toBeDefined();
    tasks.end("c1", "", 137);
    expect(await wait).toMatchObject({ exitStatus: 137 });
  });

  it("ends a Wait whose connection is gone", async () => {
    const { tasks, call } = await runningTask();
    const gone = new AbortController();
    const wait = call(methods.wait, { id: "c1", execId: "" }, { signal: gone.signal });
    expect(tasks.waiting).toBe(1);
    gone.abort();
    await expect(wait).rejects.toMatchObject({ code: status.CANCELLED });
    await vi.waitFor(() => expect(tasks.waiting).toBe(0));
  });

  it("answers DeadlineExceeded when a call's time is up, and tells the method", async () => {
    const { tasks, call } = await runningTask();
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
    const { dispatcher, call } = taskCalls();
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
    const { tasks, call } = await runningTask();
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
    const { dispatcher } = taskCalls();
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
    const { dispatcher } = taskCalls();
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
