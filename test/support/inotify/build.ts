/** Compiles the program that tells what inotify tells, for any Linux. */
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";

const SOURCE = path.join(import.meta.dirname, "watch.c");

/** Returns the program's path in the directory. */
export async function buildWatch(directory: string): Promise<string> {
  const program = path.join(directory, "watch");
  await promisify(execFile)("musl-gcc", [
    "-static",
    "-s",
    "-O1",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-o",
    program,
    SOURCE,
  ]);
  return program;
}
