/**
 * Small files and directories, with errors instead of errnos: /proc, /sys, cgroups, configuration.
 *
 * All functions block, so they are for files that answer at once: never for a share or a FIFO.
 */
import * as sys from "sys";
import { check, checkValue } from "./check.ts";

const DEFAULT_MAX = 1024 * 1024;

/** The text of a file of at most `max` bytes. Works on /proc. */
export function readText(path: string, max = DEFAULT_MAX): string {
  return checkValue(sys.readFile(path, max), "read", path);
}

/** The same, or undefined if there is no such file (or process). */
export function readTextIfPresent(path: string, max = DEFAULT_MAX): string | undefined {
  const result = sys.readFile(path, max);
  if (result === -sys.ENOENT || result === -sys.ESRCH || result === -sys.ENOTDIR) return undefined;
  return checkValue(result, "read", path);
}

/** Makes or replaces a file. */
export function writeText(path: string, text: string, mode = 0o644): void {
  check(sys.writeFile(path, text, sys.O_WRONLY | sys.O_CREAT | sys.O_TRUNC, mode), "write", path);
}

/** Writes to a control file of the kernel, in one write(2): never creates it. */
export function writeControl(path: string, text: string): void {
  check(sys.writeFile(path, text, sys.O_WRONLY), "write", path);
}

/** Whether the path exists, symlinks followed. */
export function exists(path: string): boolean {
  return sys.access(path, 0) === 0;
}

/** The names in a directory. */
export function listDirectory(path: string): string[] {
  return checkValue(sys.readdir(path), "list a directory", path);
}

/** mkdir -p. What exists stays as it is. */
export function makeDirectories(path: string, mode = 0o755): void {
  const result = sys.mkdir(path, mode);
  if (result === 0 || result === -sys.EEXIST) return;
  const parent = path.slice(0, path.lastIndexOf("/"));
  if (result !== -sys.ENOENT || parent === "") {
    check(result, "make a directory", path);
    return;
  }
  makeDirectories(parent, mode);
  const again = sys.mkdir(path, mode);
  if (again !== -sys.EEXIST) check(again, "make a directory", path);
}

/** Opens, runs `use`, closes, whatever happens. */
export function withFile<T>(path: string, flags: number, use: (fd: number) => T): T {
  const fd = check(sys.open(path, flags), "open", path);
  try {
    return use(fd);
  } finally {
    sys.close(fd);
  }
}

/** Writes all of `bytes` to a blocking descriptor. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.byteLength; ) {
    const start = bytes.byteOffset + done;
    done += check(
      sys.write(fd, bytes.buffer as ArrayBuffer, start, bytes.byteLength - done),
      "write",
      `fd ${fd}`,
    );
  }
}

/** Loads a kernel module; one that is in the kernel already is no error. Follows finit_module(2). */
export function loadModule(path: string, parameters = ""): void {
  withFile(path, sys.O_RDONLY, (fd) => {
    const result = sys.finitModule(fd, parameters, 0);
    if (result !== -sys.EEXIST) check(result, "load a kernel module", path);
  });
}

/** Start time of a process in clock ticks since boot, from /proc/PID/stat: with the pid it names a process for good. */
export function processStartTime(pid: number): number | undefined {
  const stat = readTextIfPresent(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // the name in parentheses may hold blanks and parentheses itself; starttime is field 22
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const value = Number(fields[19]);
  return Number.isFinite(value) ? value : undefined;
}
