/**
 * A share with everything that might lead out of it, for a client that tries.
 *
 * A layer is made here, and the test mounts it at `share/c1/rootfs`. Beside the share are files that must not be read.
 */
import { execFileSync } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";

/** What a guest must never read. */
export const SECRET = "CANARY\n";

/**
 * Makes `<base>/layer`, `<base>/canary` and `<base>/other/secret` that must not be read, and an empty `<base>/share`.
 * Needs root, for a device.
 */
export async function makeHostileShare(base: string): Promise<{ layer: string; share: string }> {
  const [layer, share] = [path.join(base, "layer"), path.join(base, "share")];
  await mkdir(path.join(layer, "directory/inner"), { recursive: true });
  await mkdir(path.join(base, "other"));
  await mkdir(share);
  await writeFile(path.join(base, "canary"), SECRET);
  await writeFile(path.join(base, "other/secret"), SECRET);
  await writeFile(path.join(layer, "file"), "inside\n");
  await symlink(path.join(base, "canary"), path.join(layer, "absolute"));
  // layers are mounted at share/c1/rootfs
  await symlink("../../..", path.join(layer, "climbing"));
  execFileSync("mknod", [path.join(layer, "fifo"), "p"]);
  execFileSync("mknod", [path.join(layer, "device"), "c", "1", "5"]);
  return { layer, share };
}
