import { stat } from "node:fs/promises";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { silentLogger } from "../../../src/contracts/logger.ts";
import { TaskDefinition } from "../../../src/rpc/generated/containerd/task/v3/task.ts";
import { Response } from "../../../src/rpc/generated/ttrpc/ttrpc.ts";
import { createTaskService } from "../../../src/rpc/task/service.ts";
import { HEADER_BYTES, MAX_MESSAGE_BYTES } from "../../../src/rpc/ttrpc/codec.ts";
import { TtrpcDispatcher } from "../../../src/rpc/ttrpc/dispatcher.ts";
import { TtrpcServer } from "../../../src/rpc/ttrpc/server.ts";
import { FakeTaskService } from "../../support/fake-services/task-service.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { TtrpcClient } from "../../support/ttrpc-client.ts";

const methods = TaskDefinition.methods;

async function serve() {
  const path = join(await temporaryDirectory(), "task.sock");
  const tasks = new FakeTaskService();
  await tasks.create({
    id: "c1",
    bundle: "/b",
    rootfs: [],
    stdin: "",
    stdout: "",
    stderr: "",
    terminal: false,
  });
  const server = new TtrpcServer(new TtrpcDispatcher([createTaskService(tasks)], silentLogger), silentLogger);
  await server.listen(path);
  onTestFinished(() => server.close());
  const connect = (): TtrpcClient => {
    const client = new TtrpcClient(path, TaskDefinition.fullName);
    onTestFinished(() => client.close());
    return client;
  };
  return { path, tasks, server, connect };
}

describe("the ttrpc server", () => {
  it("serves many calls at once on one connection, in the order in which they end", async () => {
    const { tasks, connect } = await serve();
    const client = connect();
    const wait = client.call(methods.wait, { id: "c1", execId: "" });
    const started = await client.call(methods.start, { id: "c1", execId: "" });
    expect(started.pid).toBe(1000);
    tasks.end("c1", "", 7);
    expect((await wait).exitStatus).toBe(7);
  });

  it("listens on a socket that only its owner can use", async () => {
    const { path } = await serve();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("aborts the pending calls of a client that leaves, and keeps the others'", async () => {
    const { tasks, connect } = await serve();
    const [leaving, staying] = [connect(), connect()];
    const lost = leaving.call(methods.wait, { id: "c1", execId: "" });
    const kept = staying.call(methods.wait, { id: "c1", execId: "" });
    await vi.waitFor(() => expect(tasks.waiting).toBe(2));
    leaving.close();
    await expect(lost).rejects.toThrow("closed");
    await vi.waitFor(() => expect(tasks.waiting).toBe(1));
    tasks.end("c1", "", 0);
    expect((await kept).exitStatus).toBe(0);
  });

  it("refuses a message over 4 MiB on its stream and stays in step", async () => {
    const { connect } = await serve();
    const client = connect();
    const message = new Uint8Array(HEADER_BYTES + MAX_MESSAGE_BYTES + 1);
    const view = new DataView(message.buffer);
    view.setUint32(0, MAX_MESSAGE_BYTES + 1);
    view.setUint32(4, 9_999);
    view.setUint8(8, 1);
    const answer = Response.decode(await client.raw(9_999, message));
    expect(answer.status?.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(await client.call(methods.connect, { id: "c1" })).toMatchObject({ taskPid: 1000 });
  });

  it("drops a client that does not speak ttrpc, and no other", async () => {
    const { connect } = await serve();
    const [stranger, client] = [connect(), connect()];
    await expect(stranger.raw(1, Buffer.from("GET / HTTP/1.1\r\n\r\n"))).rejects.toThrow("closed");
    expect(await client.call(methods.connect, { id: "c1" })).toMatchObject({ taskPid: 1000 });
  });

  it("leaves no socket behind", async () => {
    const { path, server, connect } = await serve();
    const wait = connect().call(methods.wait, { id: "c1", execId: "" });
    const lost = expect(wait).rejects.toThrow("closed");
    await server.close();
    await lost;
    await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
  });
});
