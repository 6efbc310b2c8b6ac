/** Names of the files that a QEMU keeps in its VM's directory. */
import { type VmPaths, vmPathsIn } from "../common/vm-paths.ts";

/** Throws InvalidArgument if the directory's path leaves no room for a socket in it. */
export function vmPaths(directory: string): VmPaths {
  return vmPathsIn(directory, { control: "qmp.sock", log: "qemu.log" });
}
