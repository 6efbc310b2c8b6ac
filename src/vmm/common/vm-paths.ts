/**
 * The files that a VMM and its driver keep in a VM's directory.
 *
 * All of them are removed by name when the VM is gone; nothing else in the directory is touched.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { checkUnixPath } from "../../lib/sockets/unix-socket.ts";

export interface VmPaths {
  /** The socket by which the VMM is controlled. */
  readonly control: string;
  /** The host's end of the agent's port. */
  readonly agent: string;
  /** What the VMM writes to stdout and stderr. */
  readonly log: string;
  /** What is on the disk of a VM that others are forked from, packed for them. */
  readonly packedDisk: string;
}

/** Names the files after the driver's own. Throws InvalidArgument if a socket's path would be too long. */
export function vmPathsIn(
  directory: string,
  names: { readonly control: string; readonly log: string },
): VmPaths {
  const paths = {
    control: join(directory, names.control),
    agent: join(directory, "agent.sock"),
    log: join(directory, names.log),
    packedDisk: join(directory, "disk.packed"),
  };
  checkUnixPath(paths.control);
  checkUnixPath(paths.agent);
  return paths;
}

/** Removes those that are there. */
export async function removeVmFiles(paths: VmPaths): Promise<void> {
  await Promise.all(Object.values(paths).map((path: string) => rm(path, { force: true })));
}
