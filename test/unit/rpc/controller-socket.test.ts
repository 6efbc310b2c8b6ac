import { rename, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { Client, credentials, status } from "@grpc/grpc-js";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { silentLogger } from "../../../src/contracts/logger.ts";
import { ControllerServer } from "../../../src/rpc/controller/server.ts";
import { ControllerService } from "../../../src/rpc/generated/containerd/services/sandbox/v1/controller.ts";
import { callUnary } from "../../../src/rpc/grpc/unary.ts";
import { createRequest, sandboxer, serve, TASK_ADDRESS } from "../../support/controller.ts";
import { FakeSandboxService } from "../../support/fake-services/sandbox-service.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

describe("the Controller's socket", () => {
  it("belongs to its owner alone and is gone after close", async () => {
    const { path, server } = await serve();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await server.close();
    await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("is not taken from a daemon that lives", async () => {
    const { path } = await serve();
    const second = new ControllerServer({
      sandboxes: new FakeSandboxService(),
      taskAddress: TASK_ADDRESS,
      logger: silentLogger,
    });
    onTestFinished(() => second.close());
    await expect(second.listen(path)).rejects.toMatchObject({
      code: "HostResource",
      message: expect.stringContaining("another process is listening"),
    });
    expect((await stat(path)).isSocket()).toBe(true);
  });

  it("lets a call finish that is under way when the daemon drains", async () => {
    const { sandboxes, server, call } = await serve();
    await call(ControllerService.create, createRequest());
    let open: () => void = () => undefined;
    sandboxes.holdStart(
      new Promise((resolve) => {
        open = resolve;
      }),
    );
    const starting = vi.spyOn(sandboxes, "start");
    const start = call(ControllerService.start, { sandboxId: "s1", sandboxer });
    await vi.waitFor(() => expect(starting).toHaveBeenCalledOnce());
    const drained = server.drain(5_000);
    open();
    expect((await start).pid).toBe(4711);
    await drained;
  });

  it("answers Unavailable to a call that is still under way once the grace is over", async () => {
    const { sandboxes, server, call } = await serve();
    await call(ControllerService.create, createRequest());
    sandboxes.holdStart(new Promise(() => undefined));
    const starting = vi.spyOn(sandboxes, "start");
    const start = call(ControllerService.start, { sandboxId: "s1", sandboxer });
    const failed = expect(start).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await vi.waitFor(() => expect(starting).toHaveBeenCalledOnce());
    await server.drain(10);
    await failed;
  });
});

describe("a stale socket", () => {
  it("is replaced when nobody answers behind it", async () => {
    const path = join(await temporaryDirectory(), "blazar.sock");
    await leaveStaleSocket(path);
    const server = new ControllerServer({
      sandboxes: new FakeSandboxService(),
      taskAddress: TASK_ADDRESS,
      logger: silentLogger,
    });
    onTestFinished(() => server.close());
    await server.listen(path);
    const client = new Client(`unix:${path}`, credentials.createInsecure());
    onTestFinished(() => client.close());
    await expect(
      callUnary(client, ControllerService.platform, { sandboxId: "s1", sandboxer }),
    ).rejects.toMatchObject({ code: status.NOT_FOUND });
  });
});

/** A socket file whose process is gone: bound under another name, so that closing does not remove it. */
async function leaveStaleSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}.was`, resolve));
  await rename(`${path}.was`, path);
  await new Promise((resolve) => server.close(resolve));
}
