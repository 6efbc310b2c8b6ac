import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { blazarError } from "../../../src/contracts/errors.ts";
import { EventsDefinition } from "../../../src/rpc/generated/containerd/services/events/ttrpc/v1/events.ts";
import { TtrpcClient } from "../../../src/rpc/ttrpc/client.ts";
import { TtrpcDispatcher } from "../../../src/rpc/ttrpc/dispatcher.ts";
import { TtrpcServer } from "../../../src/rpc/ttrpc/server.ts";
import { bindMethod } from "../../../src/rpc/ttrpc/service.ts";
import { CapturedLogger } from "../../support/captured-logger.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const { methods, fullName } = EventsDefinition;

/** A server whose one method does what the test says, at a path, and a client of it. */
async function setUp(forward: () => object | Promise<object>) {
  const path = join(await temporaryDirectory(), "s");
  const logger = new CapturedLogger();
  const service = { name: fullName, methods: [bindMethod(methods.forward, forward)] };
  const listen = async () => {
    const server = new TtrpcServer(new TtrpcDispatcher([service], logger), logger);
    await server.listen(path);
    return server;
  };
  const client = new TtrpcClient(path);
  onTestFinished(() => client.close());
  const call = (timeoutMs = 5_000) =>
    client.call(EventsDefinition, methods.forward, { envelope: undefined }, { timeoutMs });
  return { listen, client, call };
}

describe("a ttrpc client", () => {
  it("has several calls on one connection, each with its own answer", async () => {
    let count = 0;
    const { listen, call } = await setUp(() => {
      count++;
      return {};
    });
    const server = await listen();
    onTestFinished(() => server.close());
    expect(await Promise.all([call(), call(), call()])).toEqual([{}, {}, {}]);
    expect(count).toBe(3);
  });

  it("fails with what the other end says", async () => {
    const { listen, call } = await setUp(() => {
      throw blazarError("InvalidArgument", "forward", "no such topic");
    });
    const server = await listen();
    onTestFinished(() => server.close());
    await expect(call()).rejects.toMatchObject({
      kind: "invalidArgument",
      message: expect.stringContaining("no such topic"),
    });
  });

  it("is unavailable while nobody listens, and connects again when somebody does", async () => {
    const { listen, call } = await setUp(() => ({}));
    await expect(call()).rejects.toMatchObject({ code: "RemoteUnavailable" });
    const server = await listen();
    expect(await call()).toEqual({});
    await server.close();
    await expect(call()).rejects.toMatchObject({ code: "RemoteUnavailable" });
    const next = await listen();
    onTestFinished(() => next.close());
    expect(await call()).toEqual({});
  });

  it("does not wait longer than it may, nor after it was closed", async () => {
    const { listen, client, call } = await setUp(() => new Promise<object>(() => undefined));
    const server = await listen();
    onTestFinished(() => server.close());
    await expect(call(1)).rejects.toMatchObject({ code: "DeadlineExceeded" });
    const waiting = call();
    client.close();
    await expect(waiting).rejects.toMatchObject({ code: "RemoteUnavailable" });
    await expect(call()).rejects.toMatchObject({ code: "Cancelled" });
  });
});
