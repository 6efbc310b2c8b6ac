/**
 * What a VM and its disks may be, checked before anything is made.
 *
 * The driver says what its VMM can do at most and at least; everything else holds for every driver.
 */
import { isAbsolute } from "node:path";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { VmSource, VmSpec } from "../../contracts/vm.ts";
import { checkId } from "../../lib/ids.ts";
import { MOST_NICS } from "../../protocol/guest/nics.ts";

const MEBIBYTE = 1024 * 1024;
/** The guest's kernel and its initramfs alone take most of this. */
export const LEAST_MEMORY_BYTES = 128 * MEBIBYTE;
const DISK_ID = /^[a-z0-9-]{1,31}$/;
const PORT_NAME = /^[a-z0-9.]{1,31}$/;

/** Throws InvalidArgument. */
export function checkSpec(spec: VmSpec, { mostVcpus }: { readonly mostVcpus: number }): void {
  const { id, vcpus, memoryBytes, nics } = spec;
  checkId(id, "start the VMM");
  for (const path of [spec.directory, ...spec.cgroups, ...sourcePaths(spec.source)]) {
    if (path !== undefined && !isAbsolute(path)) throw invalid(spec, `${path} is not an absolute path`);
  }
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > mostVcpus) {
    throw invalid(spec, `${vcpus} processors: 1 to ${mostVcpus} can be had`);
  }
  if (!Number.isSafeInteger(memoryBytes) || memoryBytes < LEAST_MEMORY_BYTES) {
    throw invalid(spec, `${memoryBytes} bytes of memory: at least ${LEAST_MEMORY_BYTES} are needed`);
  }
  if (!Number.isInteger(nics) || nics < 0 || nics > MOST_NICS) {
    throw invalid(spec, `${nics} network interfaces: 0 to ${MOST_NICS} can be had`);
  }
}

/** Throws InvalidArgument if no disk can have this id. */
export function checkDiskId(id: string): void {
  if (DISK_ID.test(id)) return;
  throw blazarError("InvalidArgument", "name a disk", "an id is 1 to 31 of a-z, 0-9 and -", { subject: id });
}

/** Throws InvalidArgument if no port can have this name. */
export function checkPortName(name: string): void {
  if (PORT_NAME.test(name)) return;
  throw blazarError("InvalidArgument", "name a port", "a name is 1 to 31 of a-z, 0-9 and .", {
    subject: name,
  });
}

/** VMMs take memory in these. */
export function wholeMebibytes(bytes: number): number {
  return Math.ceil(bytes / MEBIBYTE);
}

/** Size of the file that a guest's memory is in. */
export function memoryFileBytes(memoryBytes: number): number {
  return wholeMebibytes(memoryBytes) * MEBIBYTE;
}

function sourcePaths(source: VmSource): (string | undefined)[] {
  if (source.kind === "boot") return [];
  return source.kind === "clone" ? [source.template, source.disk] : [source.disk];
}

function invalid(spec: VmSpec, reason: string): BlazarError {
  return blazarError("InvalidArgument", "start the VMM", reason, { subject: spec.id });
}
