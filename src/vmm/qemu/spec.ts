/**
 * What a VmSpec must be for QEMU to start from it: checked before anything is made.
 */
import { isAbsolute } from "node:path";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { VmSource, VmSpec } from "../../contracts/vm.ts";

const MEBIBYTE = 1024 * 1024;
/** The kernel and its initramfs alone take most of this. */
const LEAST_MEMORY_BYTES = 128 * MEBIBYTE;
const MOST_VCPUS = 240;
const VALID_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Throws InvalidArgument. */
export function checkSpec(spec: VmSpec): void {
  const { id, vcpus, memoryBytes } = spec;
  if (!VALID_ID.test(id)) throw invalid(spec, "its id is not 1 to 128 of A-Z, a-z, 0-9, ., _ and -");
  for (const path of [spec.directory, spec.shareDirectory, ...spec.cgroups, ...sourcePaths(spec.source)]) {
    if (path !== undefined && !isAbsolute(path)) throw invalid(spec, `${path} is not an absolute path`);
  }
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MOST_VCPUS) {
    throw invalid(spec, `${vcpus} processors: 1 to ${MOST_VCPUS} can be had`);
  }
  if (!Number.isSafeInteger(memoryBytes) || memoryBytes < LEAST_MEMORY_BYTES) {
    throw invalid(spec, `${memoryBytes} bytes of memory: at least ${LEAST_MEMORY_BYTES} are needed`);
  }
}

function sourcePaths(source: VmSource): (string | undefined)[] {
  if (source.kind === "boot") return [];
  return source.kind === "clone" ? [source.template, source.disk] : [source.disk];
}

function invalid(spec: VmSpec, reason: string): BlazarError {
  return blazarError("InvalidArgument", "start the VMM", reason, { subject: spec.id });
}
