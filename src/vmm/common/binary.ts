/**
 * A VMM's program on this host: where it is, and what it says of itself.
 *
 * The keeper starts programs by absolute path, so a bare name is looked up here, in PATH. A program is run under a
 * deadline, only to be asked for its version.
 */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { blazarError, reasonOf } from "../../contracts/errors.ts";

const VERSION_MS = 10_000;

/** How errors speak of a VMM. */
export interface VmmName {
  /** `"QEMU"` */
  readonly vmm: string;
  /** What to do when it is not there. */
  readonly remedy: string;
}

/** Absolute path of a program. Throws VmmNotInstalled. */
export async function locateBinary(
  name: string,
  { vmm, remedy }: VmmName,
  path = process.env["PATH"] ?? "",
): Promise<string> {
  const candidates = isAbsolute(name) ? [name] : path.split(":").map((directory) => join(directory, name));
  for (const candidate of candidates) {
    if (isAbsolute(candidate) && (await isProgram(candidate))) return candidate;
  }
  const reason = isAbsolute(name) ? "there is no such program" : "it is in no directory of PATH";
  throw blazarError("VmmNotInstalled", `find ${vmm}`, reason, { subject: name, remedy });
}

/** What the program prints for `--version`. Rejects with a plain Error that says why there is nothing. */
export function versionOutput(binary: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(binary, ["--version"], { timeout: VERSION_MS }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${reasonOf(error)} ${stderr}`.trim(), { cause: error }));
    });
  });
}

/** Whether the program takes these arguments, by which it does nothing, and ends well. */
export function runs(binary: string, args: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    execFile(binary, args, { timeout: VERSION_MS }, (error) => resolve(error === null));
  });
}

async function isProgram(path: string): Promise<boolean> {
  return access(path, constants.X_OK)
    .then(() => stat(path))
    .then(
      (found) => found.isFile(),
      () => false,
    );
}
