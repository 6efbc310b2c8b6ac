/**
 * Mounts below a directory of the lab's own: making a tmpfs, finding what is mounted there, unmounting all of it.
 *
 * Needs root, but for looking. Must not be asked to unmount a directory that the lab has not made.
 */
import { mkdir, readFile } from "node:fs/promises";
import { mountPointsBelow } from "../../src/workers/mounts/mountinfo.ts";
import { runProgram } from "./program.ts";

/** Mounts a tmpfs at a directory, made if it is not there. The caller unmounts it. By default it is as large as can be. */
export async function mountMemory(directory: string, bytes?: number): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o711 });
  const options = bytes === undefined ? "mode=711" : `mode=711,size=${bytes}`;
  await runProgram("mount", ["-t", "tmpfs", "-o", options, "blazar-state", directory]);
}

/** Mount points at or below a directory, the innermost first. */
export async function mountsBelow(directory: string): Promise<string[]> {
  return mountPointsBelow(await readFile("/proc/self/mountinfo", "utf8"), directory);
}

/** Unmounts everything at or below a directory, lazily: a busy mount goes when its last user does. */
export async function unmountBelow(directory: string): Promise<void> {
  for (const point of await mountsBelow(directory)) await runProgram("umount", ["--lazy", point]);
}
