/**
 * One set-up at a time on one cache: flock(2) on `<cache>/lock`.
 *
 * Node has no flock, so flock(1) locks a descriptor that it inherits. The lock belongs to the open file: it ends with
 * this process, and cannot become stale. Must not be held while the product itself runs.
 */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import path from "node:path";
import { blazarError } from "../../src/contracts/errors.ts";

/** Runs `body` with the cache's lock held; `onWait` is called if another process has it. */
export async function withLock<T>(cache: string, onWait: () => void, body: () => Promise<T>): Promise<T> {
  mkdirSync(cache, { recursive: true });
  await using file = await open(path.join(cache, "lock"), "a");
  if (!(await flock(file, ["-x", "-n"]))) {
    onWait();
    if (!(await flock(file, ["-x"]))) {
      throw blazarError("HostResource", "lock the cache", "flock failed", {
        subject: path.join(cache, "lock"),
        remedy: "check that the directory is on a file system with locks, or set BLAZAR_CACHE to another one",
      });
    }
  }
  return await body();
}

function flock(file: FileHandle, options: readonly string[]): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn("flock", [...options, "3"], { stdio: ["ignore", "ignore", "ignore", file.fd] });
    child.on("error", reject);
    child.on("close", (status) => resolve(status === 0));
  });
}
