/**
 * Which boot of the host this is: proc_sys_kernel(5), random/boot_id. Processes, mounts and devices of another boot are gone.
 */
import { readFile } from "node:fs/promises";

let known: Promise<string | undefined> | undefined;

/** Undefined if the kernel does not tell. */
export function bootId(): Promise<string | undefined> {
  known ??= readFile("/proc/sys/kernel/random/boot_id", "latin1").then(
    (text) => text.trim(),
    () => undefined,
  );
  return known;
}
