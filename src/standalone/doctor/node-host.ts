/**
 * The host of this process, as checks see it.
 */
import { access, constants, readdir, readFile, statfs } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { connectUnix } from "../../lib/unix-socket.ts";
import { kvmDeviceProblem } from "../../vmm/common/kvm-device.ts";
import type { HostView } from "./check.ts";

const MODES = { read: constants.R_OK, write: constants.W_OK, execute: constants.X_OK } as const;

export const NODE_HOST: HostView = {
  uid: process.getuid?.() ?? -1,
  read: (path) => readFile(path, "utf8").catch(() => undefined),
  names: (directory) => readdir(directory).catch(() => undefined),
  may,
  which: async (program) => {
    for (const directory of (process.env["PATH"] ?? "").split(delimiter)) {
      const path = join(directory, program);
      if (await may(path, "execute")) return path;
    }
    return undefined;
  },
  freeBytes: async (path) => {
    for (let each = path; ; each = dirname(each)) {
      const stat = await statfs(each).catch(() => undefined);
      if (stat !== undefined) return stat.bavail * stat.bsize;
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

function may(path: string, what: keyof typeof MODES): Promise<boolean> {
  return access(path, MODES[what]).then(
    () => true,
    () => false,
  );
}
