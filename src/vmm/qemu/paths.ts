/**
 * Names of the files that a QEMU keeps in its VM's directory.
 *
 * All of them are removed by name when the VM is gone; nothing else in the directory is touched.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { checkUnixPath } from "../../lib/unix-socket.ts";

export interface VmPaths {
  /** QMP, the control connection. */
  readonly control: string;
  /** The host's end of the agent's port. */
  readonly agent: string;
  /** What QEMU writes to stdout and stderr. */
  readonly log: string;
}

/** Throws InvalidArgument if the directory's path leaves no room for a socket in it. */
export function vmPaths(directory: string): VmPaths {
  const paths = {
    control: join(directory, "qmp.sock"),
    agent: join(directory, "agent.sock"),
    log: join(directory, "qemu.log"),
  };
  checkUnixPath(paths.control);
  checkUnixPath(paths.agent);
  return paths;
}

/** Removes what is there of them. */
export async function removeVmFiles(paths: VmPaths): Promise<void> {
  await Promise.all(Object.values(paths).map((path: string) => rm(path, { force: true })));
}
