/** Connections to the Controller's socket that are no clients: they leave nothing open, and keep nobody out. */
import { readdir } from "node:fs/promises";
import { expect, it } from "vitest";
import { talkNonsense } from "../../../lab/security/attacks/clients.ts";
import { ControllerService } from "../../../src/rpc/generated/containerd/services/sandbox/v1/controller.ts";
import { createRequest, serve } from "../../support/controller.ts";

const CONNECTIONS = 60;
const UNUSED_MS = 500;
const WAIT = { timeout: 20_000, interval: 100 };

const sockets = async (): Promise<number> => (await readdir("/proc/self/fd")).length;

it("connections with bytes that are not HTTP/2 leave no descriptor, and calls are answered", {
  timeout: 60_000,
}, async () => {
  const { path, call } = await serve({ unusedMs: UNUSED_MS });
  await call(ControllerService.create, createRequest({ sandboxId: "before" }));
  const before = await sockets();
  await Promise.all(Array.from({ length: CONNECTIONS }, (_, number) => talkNonsense(path, number)));
  await expect.poll(sockets, WAIT).toBeLessThanOrEqual(before);
  expect(await call(ControllerService.create, createRequest({ sandboxId: "after" }))).toEqual({
    sandboxId: "after",
  });
});
