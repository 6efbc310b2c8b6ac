/**
 * The QEMU of this host: where it is and which version it has.
 *
 * The keeper starts programs by absolute path, so that a bare name is looked up here, in PATH. QEMU is run once,
 * for its version, under a deadline.
 */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { type BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";

/** The oldest QEMU that the command line is known to work with. */
const LEAST_MAJOR = 7;
const VERSION_MS = 10_000;

/** Absolute path of a program. Throws VmmNotInstalled. */
export async function locateBinary(name: string, path = process.env["PATH"] ?? ""): Promise<string> {
  const candidates = isAbsolute(name) ? [name] : path.split(":").map((directory) => join(directory, name));
  for (const candidate of candidates) {
    if (isAbsolute(candidate) && (await isProgram(candidate))) return candidate;
  }
  throw blazarError(
    "VmmNotInstalled",
    "find QEMU",
    isAbsolute(name) ? "there is no such program" : "it is in no directory of PATH",
    { subject: name, remedy: "install the package qemu-system-x86 or set vmm.binary in the configuration" },
  );
}

/** The version, as `7.2.22`. Throws VmmFailed. */
export async function binaryVersion(binary: string, signal?: AbortSignal): Promise<string> {
  const output = await run(binary, signal);
  const version = /version (\d+)\.\d+(\.\d+)*/.exec(output);
  if (version === null) throw failed(binary, `it does not tell its version: ${output.slice(0, 200)}`);
  if (Number(version[1]) < LEAST_MAJOR) {
    throw failed(binary, `it is ${version[0]}, at least ${LEAST_MAJOR}.0 is needed`);
  }
  return version[0].replace("version ", "");
}

function run(binary: string, signal: AbortSignal | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { timeout: VERSION_MS, ...(signal === undefined ? {} : { signal }) };
    execFile(binary, ["--version"], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(failed(binary, `${reasonOf(error)} ${stderr}`.trim(), error));
    });
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

function failed(binary: string, reason: string, cause?: unknown): BlazarError {
  return blazarError("VmmFailed", "ask QEMU for its version", reason, {
    subject: binary,
    remedy: "run it by hand with --version",
    cause,
  });
}
