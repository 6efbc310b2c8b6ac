/** A listening socket whose file somebody removes, on real files; time is simulated. */
import { rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KeptSocket } from "../../../src/lib/sockets/kept-socket.ts";
import { connectUnix } from "../../../src/lib/sockets/unix-socket.ts";
import { CapturedLogger } from "../../support/captured-logger.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

let path: string;
let logger: CapturedLogger;
let socket: KeptSocket;
const servers: Server[] = [];
let refuses = false;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  path = join(await temporaryDirectory(), "s.sock");
  logger = new CapturedLogger();
  refuses = false;
  socket = new KeptSocket(path, listen, logger);
  await socket.open();
});

afterEach(async () => {
  vi.useRealTimers();
  await socket.remove();
  for (const server of servers.splice(0)) server.close();
});

function listen(privatePath: string): Promise<() => void> {
  if (refuses) return Promise.reject(new Error("EMFILE"));
  return new Promise((resolve) => {
    const server = createServer((connection) => connection.pipe(connection));
    servers.push(server);
    server.listen(privatePath, () => resolve(() => server.close()));
  });
}

const isThere = () =>
  stat(path).then(
    (found) => found.isSocket(),
    () => false,
  );

describe("a kept socket", () => {
  it("is made anew when its file was removed, and ends no connection", async () => {
    const connection = await connectUnix(path);
    await rm(path);
    await vi.advanceTimersByTimeAsync(2_000);
    await vi.waitFor(async () => expect(await isThere()).toBe(true));
    await vi.waitFor(() => expect(servers[0]?.listening).toBe(false));
    const echoed = new Promise((resolve) => connection.once("data", (data) => resolve(`${data}`)));
    connection.write("still here");
    expect(await echoed).toBe("still here");
    connection.destroy();
    (await connectUnix(path)).destroy();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(logger.lines).toMatchObject([{ level: "warn", fields: { path } }]);
  });

  it("leaves alone what somebody else has put there", async () => {
    await rm(path);
    await writeFile(path, "mine");
    await vi.advanceTimersByTimeAsync(4_000);
    expect(servers).toHaveLength(1);
    await socket.remove();
    expect((await stat(path)).isFile()).toBe(true);
  });

  it("is tried again when it cannot be made, and tells that once", async () => {
    await rm(path);
    refuses = true;
    await vi.advanceTimersByTimeAsync(2_000);
    await vi.waitFor(() => expect(socket.trouble).toContain(path));
    await vi.advanceTimersByTimeAsync(4_000);
    refuses = false;
    await vi.waitFor(async () => {
      await vi.advanceTimersByTimeAsync(2_000);
      expect(await isThere()).toBe(true);
    });
    expect(socket.trouble).toBe("");
    expect(logger.lines.map(({ level }) => level)).toEqual(["error", "warn"]);
  });

  it("is gone for good once it was removed by its owner", async () => {
    await socket.remove();
    await vi.advanceTimersByTimeAsync(4_000);
    expect(await isThere()).toBe(false);
  });
});
