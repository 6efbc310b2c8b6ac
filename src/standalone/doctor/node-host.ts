/**
 * The host of this process, as checks see it.
 */
import { execFile } from "node:child_process";
import { access, constants, readdir, readFile, stat, statfs } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { connectUnix } from "../../lib/sockets/unix-socket.ts";
import { kvmDeviceProblem } from "../../vmm/common/kvm/kvm-device.ts";
import type { HostView } from "./check.ts";

/** A program that does not answer is none. */
const VERSION_MS = 10_000;

const MODES = { read: constants.R_OK, write: constants.W_OK, execute: constants.X_OK } as const;

export const NODE_HOST: HostView = {
  uid: process.getuid?.() ?? -1,
  node: process.versions.node,
  read: (path) => readRegularFile(path).catch(() => undefined),
  names: (directory) => readdir(directory).catch(() => undefined),
  may,
  which: async (program) => {
    for (const directory of (process.env["PATH"] ?? "").split(delimiter)) {
      const path = join(directory, program);
      if (await may(path, "execute")) return path;
    }
    return undefined;
  },
  versionOf: (program) =>
    promisify(execFile)(program, ["--version"], { timeout: VERSION_MS }).then(
      ({ stdout }) => stdout,
      () => undefined,
    ),
  freeBytes: async (path) => {
    for (let each = path; ; each = dirname(each)) {
      const found = await statfs(each).catch(() => undefined);
      if (found !== undefined) return found.bavail * found.bsize;
      if (each === dirname(each)) return undefined;
    }
  },
  kvmProblem: (user) => kvmDeviceProblem(user),
  answers: (socket) =>
    connectUnix(socket).then(
      (connection) => {
        connection.destroy();
        return true;
      },
      () => false,
    ),
};

/** A FIFO would be read for ever. */
async function readRegularFile(path: string): Promise<string | undefined> {
  return (await stat(path)).isFile() ? await readFile(path, "utf8") : undefined;
}

function may(path: string, what: keyof typeof MODES): Promise<boolean> {
  return access(path, MODES[what]).then(
    () => true,
    () => false,
  );
}
