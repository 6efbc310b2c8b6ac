/** Connecting to a unix socket, also to one that is not there yet. */
import { getEventListeners } from "node:events";
import { writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { awaitUnix, checkUnixPath, connectUnix } from "../../../src/lib/sockets/unix-socket.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

async function listen(path: string): Promise<void> {
  const server = net.createServer((socket) => socket.on("error", () => undefined));
  await new Promise<void>((resolve) => {
    server.listen(path, resolve);
  });
  onTestFinished(() => void server.close());
}

test("a path of more than 107 bytes is refused by name", () => {
  checkUnixPath("x".repeat(107));
  expect(() => checkUnixPath("x".repeat(108))).toThrow(
    expect.objectContaining({ code: "InvalidArgument", message: expect.stringContaining("108 bytes") }),
  );
  expect(() => checkUnixPath("ä".repeat(54))).toThrow("108 bytes");
});

describe("connecting", () => {
  test("gives a socket, and no listener is left", async () => {
    const path = join(await temporaryDirectory(), "s");
    await listen(path);
    const { signal } = new AbortController();
    const socket = await connectUnix(path, signal);
    expect(socket.readyState).toBe("open");
    expect(getEventListeners(signal, "abort")).toEqual([]);
    expect(socket.listenerCount("error")).toBe(0);
    socket.destroy();
  });

  test("fails where nobody listens", async () => {
    const path = join(await temporaryDirectory(), "s");
    await expect(connectUnix(path)).rejects.toMatchObject({ code: "LinkClosed" });
  });

  test("is given up at the abort, also at one before", async () => {
    const path = join(await temporaryDirectory(), "s");
    await listen(path);
    await expect(connectUnix(path, AbortSignal.abort())).rejects.toMatchObject({ code: "Cancelled" });
    const controller = new AbortController();
    const connecting = connectUnix(path, controller.signal);
    controller.abort();
    await expect(connecting).rejects.toMatchObject({ code: "Cancelled" });
  });
});

describe("waiting for a socket", () => {
  test("connects once somebody listens", async () => {
    const path = join(await temporaryDirectory(), "s");
    const connecting = awaitUnix(path, new AbortController().signal);
    await listen(path);
    const socket = await connecting;
    expect(socket.readyState).toBe("open");
    socket.destroy();
  });

  test("ends at the abort", async () => {
    const controller = new AbortController();
    const waiting = awaitUnix(join(await temporaryDirectory(), "s"), controller.signal);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: "Cancelled" });
  });

  test("ends at an error that will not pass", async () => {
    const file = join(await temporaryDirectory(), "file");
    await writeFile(file, "");
    const waiting = awaitUnix(join(file, "s"), new AbortController().signal);
    await expect(waiting).rejects.toMatchObject({ code: "LinkClosed" });
  });

  test("is refused where no socket can be", async () => {
    const waiting = awaitUnix(`/tmp/${"s".repeat(120)}`, new AbortController().signal);
    await expect(waiting).rejects.toMatchObject({ code: "InvalidArgument" });
  });
});
