/**
 * The QEMU of this host: which one it is and whether it will do.
 */
import { type BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import { locateBinary, runs, versionOutput } from "../common/binary.ts";

/** The oldest QEMU that the command line is known to work with. */
const LEAST_MAJOR = 7;

const QEMU = {
  vmm: "QEMU",
  remedy: "install the package qemu-system-x86 or set vmm.binary in the configuration",
};

/** Absolute path of QEMU. Throws VmmNotInstalled. */
export function locateQemu(name: string, path?: string): Promise<string> {
  return locateBinary(name, QEMU, path);
}

/** The version, as `7.2.22`. Throws VmmFailed. */
export async function qemuVersion(binary: string): Promise<string> {
  const output = await versionOutput(binary).catch((error: unknown) => {
    throw failed(binary, reasonOf(error), error);
  });
  const version = /version (\d+)\.\d+(\.\d+)*/.exec(output);
  if (version === null) throw failed(binary, `it does not tell its version: ${output.slice(0, 200)}`);
  if (Number(version[1]) < LEAST_MAJOR) {
    throw failed(binary, `it is ${version[0]}, at least ${LEAST_MAJOR}.0 is needed`);
  }
  return version[0].replace("version ", "");
}

/** What VMs with KVM run on. */
interface KvmProgram {
  readonly binary: string;
  /** Preloaded in the place of a filter that it lacks; undefined = it has one. */
  readonly filterLibrary: string | undefined;
}

/**
 * The QEMU for VMs with KVM: Debian's package has one beside the other that has the microvm machine alone and no emulation. It
 * starts in a fifth of the other's time (docs/adr/0029).
 * @param library does what the smaller one lacks, beside a jail's list of system calls; undefined = there is none, or no jail
 */
export async function programForKvm(
  binary: string,
  version: string,
  library: string | undefined,
): Promise<KvmProgram> {
  const beside = `${binary}-microvm`;
  const found = await qemuVersion(beside).catch(() => undefined);
  const smaller = found === version ? beside : binary;
  if (await hasOwnFilter(smaller)) return { binary: smaller, filterLibrary: undefined };
  return library === undefined
    ? { binary, filterLibrary: undefined }
    : { binary: smaller, filterLibrary: library };
}

/** Whether it was built with a filter of system calls (`-sandbox`). */
function hasOwnFilter(binary: string): Promise<boolean> {
  return runs(binary, ["-sandbox", "on", "--version"]);
}

/** `rom=off` came with 8.2; without it a private read-only mapping cannot be a guest's memory. */
export function opensMemoryReadOnly(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 8 || (major === 8 && minor >= 2);
}

function failed(binary: string, reason: string, cause?: unknown): BlazarError {
  const remedy = "run it by hand with --version";
  return blazarError("VmmFailed", "ask QEMU for its version", reason, { subject: binary, remedy, cause });
}
