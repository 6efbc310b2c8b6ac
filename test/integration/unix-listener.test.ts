/** A daemon's socket on a file system that has no inodes left: a real tmpfs. */
import { execFileSync } from "node:child_process";
import { readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { bindUnixSocket } from "../../src/lib/sockets/unix-listener.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

describe.skipIf(process.getuid?.() !== 0)("a socket on a file system without inodes", () => {
  it.each(["stale", "removed"])("is bound, where that of the daemon before is %s", async (before) => {
    const directory = await temporaryDirectory();
    execFileSync("mount", ["-t", "tmpfs", "-o", "mode=711", "none", directory]);
    onTestFinished(() => void execFileSync("umount", [directory]));
    const target = join(directory, "blazar.sock");
    await abandoned(target);
    writeFileSync(join(directory, "journal"), "");
    // the directory, the socket and the file
    execFileSync("mount", ["-o", "remount,nr_inodes=3", directory]);
    expect(() => writeFileSync(join(directory, "more"), "")).toThrow(/ENOSPC/);
    if (before === "removed") rmSync(target);
    const server = createServer();
    const bound = await bindUnixSocket(target, (path) => listening(server, path));
    onTestFinished(() => void server.close());
    expect(statSync(target).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory).sort()).toEqual(["blazar.sock", "journal"]);
    await bound.remove();
    expect(readdirSync(directory)).toEqual(["journal"]);
  });

  it("is refused by name where there is nothing to give it an inode", async () => {
    const directory = await temporaryDirectory();
    execFileSync("mount", ["-t", "tmpfs", "-o", "mode=711,nr_inodes=2", "none", directory]);
    onTestFinished(() => void execFileSync("umount", [directory]));
    writeFileSync(join(directory, "journal"), "");
    const server = createServer();
    const refused = bindUnixSocket(join(directory, "blazar.sock"), (path) => listening(server, path));
    await expect(refused).rejects.toThrow(/ENOSPC.*make room for one more file/);
  });
});

/** Leaves the socket of a process that has ended. */
async function abandoned(path: string): Promise<void> {
  const program = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`;
  try {
    execFileSync(process.execPath, ["-e", program], { stdio: "ignore" });
  } catch {
    // it has killed itself
  }
  expect(statSync(path).isSocket()).toBe(true);
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
