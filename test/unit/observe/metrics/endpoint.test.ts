/** The metrics' own port: loopback only, one page, and no reader from a web page of a stranger. */
import { request } from "node:http";
import { connect } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { silentLogger } from "../../../../src/contracts/logger.ts";
import { MetricsEndpoint } from "../../../../src/observe/metrics/endpoint.ts";

let endpoint: MetricsEndpoint;
let port: number;

beforeEach(async () => {
  endpoint = new MetricsEndpoint(async () => ({ contentType: "text/plain", text: "up 1\n" }), silentLogger);
  port = await endpoint.listen({ host: "127.0.0.1", port: 0 });
});

afterEach(() => endpoint.close());

function ask(path: string, method: string, host: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path, method, headers: { host } }, (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += String(chunk);
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    asked.on("error", reject);
    asked.end();
  });
}

test("it serves the page, and nothing else", async () => {
  expect(await ask("/metrics", "GET", `localhost:${port}`)).toEqual({ status: 200, text: "up 1\n" });
  expect(await ask("/metrics", "GET", `127.0.0.1:${port}`)).toMatchObject({ status: 200 });
  expect(await ask("/metrics", "GET", `[::1]:${port}`)).toMatchObject({ status: 200 });
  expect(await ask("/", "GET", "localhost")).toMatchObject({ status: 404 });
  expect(await ask("/metrics", "POST", "localhost")).toMatchObject({ status: 405 });
});

test("a name that only resolves to the loopback is refused", async () => {
  expect(await ask("/metrics", "GET", `evil.example:${port}`)).toMatchObject({ status: 403 });
});

test("a port that is taken is told by name", async () => {
  const second = new MetricsEndpoint(async () => ({ contentType: "", text: "" }), silentLogger);
  await expect(second.listen({ host: "127.0.0.1", port })).rejects.toMatchObject({ code: "PortInUse" });
});

test("it closes while a client holds its connection open", async () => {
  const socket = connect(port, "127.0.0.1");
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.on("error", () => undefined);
  await endpoint.close();
  await closed;
  // for afterEach
  await endpoint.listen({ host: "127.0.0.1", port: 0 });
});
