/** Connections of an HTTP server that every user of the machine can reach. */
import { createServer, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { boundConnections } from "../../../src/lib/sockets/http-connections.ts";

async function served(most: number, idleMs = 60_000) {
  const open: ServerResponse[] = [];
  const server = createServer((request, response) => {
    if (request.url === "/slow") open.push(response);
    else response.end("here");
  });
  boundConnections(server, { most, idleMs });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const peer = async (text = "") => {
    const socket = connect(port, "127.0.0.1");
    const heard = { text: "", closed: false, socket };
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => {
      heard.text += bytes.toString();
    });
    socket.on("close", () => {
      heard.closed = true;
    });
    onTestFinished(() => void socket.destroy());
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.write(text);
    return heard;
  };
  return { peer, open };
}

const ask = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

test("connections that ask nothing keep nobody out", async () => {
  const { peer } = await served(4);
  const silent: { closed: boolean; socket: Socket }[] = [];
  for (let count = 0; count < 20; count++)
    silent.push(await peer(count % 2 === 0 ? "" : "GET / HTTP/1.1\r\nX: "));
  await vi.waitFor(() => expect(silent.filter(({ closed }) => !closed)).toHaveLength(4));
  const honest = await peer(ask("/"));
  await vi.waitFor(() => expect(honest.text).toContain("here"));
});

test("a connection that is being answered stays, whoever comes", async () => {
  const { peer, open } = await served(2);
  const slow = [await peer(ask("/slow")), await peer(ask("/slow"))];
  await vi.waitFor(() => expect(open).toHaveLength(2));
  const late = await peer(ask("/"));
  await vi.waitFor(() => expect(late.closed).toBe(true));
  for (const response of open) response.end("done");
  for (const each of slow) await vi.waitFor(() => expect(each.text).toContain("done"));
  const next = await peer(ask("/"));
  await vi.waitFor(() => expect(next.text).toContain("here"));
});

test("a client that neither sends nor reads is cut off", async () => {
  const { peer } = await served(4, 50);
  const silent = await peer();
  await vi.waitFor(() => expect(silent.closed).toBe(true));
});
