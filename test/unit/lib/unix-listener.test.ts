import { readdir, rename, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { bindUnixSocket } from "../../../src/lib/sockets/unix-listener.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

function listener(): (path: string) => Promise<void> {
  const server: Server = createServer();
  onTestFinished(() => {
    server.close();
  });
  return (path) =>
    new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
}

describe("binding a unix socket", () => {
  it("leaves the socket and nothing else, for its owner alone", async () => {
    const directory = await temporaryDirectory();
    let modeOnBind = 0;
    const listen = listener();
    await bindUnixSocket(join(directory, "a.sock"), async (path) => {
      await listen(path);
      modeOnBind = (await stat(join(path, ".."))).mode & 0o777;
    });
    expect(modeOnBind).toBe(0o700);
    expect(await readdir(directory)).toEqual(["a.sock"]);
    expect((await stat(join(directory, "a.sock"))).mode & 0o777).toBe(0o600);
  });

  it("refuses a path that holds something else", async () => {
    const directory = await temporaryDirectory();
    const path = join(directory, "a.sock");
    await writeFile(path, "precious");
    await expect(bindUnixSocket(path, listener())).rejects.toMatchObject({
      code: "HostResource",
      message: expect.stringContaining("not a socket"),
    });
    expect(await readdir(directory)).toEqual(["a.sock"]);
  });

  it("refuses a path longer than the kernel takes, before it binds", async () => {
    const path = join(await temporaryDirectory(), `${"x".repeat(120)}.sock`);
    await expect(bindUnixSocket(path, listener())).rejects.toMatchObject({
      code: "HostResource",
      message: expect.stringContaining("107"),
    });
  });

  it("says when the directory is missing", async () => {
    const path = join(await temporaryDirectory(), "none", "a.sock");
    await expect(bindUnixSocket(path, listener())).rejects.toMatchObject({
      code: "HostResource",
      message: expect.stringContaining("ENOENT"),
    });
  });

  it("leaves nothing behind when binding fails", async () => {
    const directory = await temporaryDirectory();
    const bound = bindUnixSocket(join(directory, "a.sock"), () => Promise.reject(new Error("no luck")));
    await expect(bound).rejects.toMatchObject({ message: expect.stringContaining("no luck") });
    expect(await readdir(directory)).toEqual([]);
  });

  it("does not remove a socket that somebody else put in its place", async () => {
    const directory = await temporaryDirectory();
    const path = join(directory, "a.sock");
    const mine = await bindUnixSocket(path, listener());
    await bindUnixSocket(join(directory, "b.sock"), listener());
    await rename(join(directory, "b.sock"), path);
    await mine.remove();
    expect(await readdir(directory)).toEqual(["a.sock"]);
  });
});
