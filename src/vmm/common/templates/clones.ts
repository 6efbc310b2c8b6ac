/**
 * What every driver does around the launch of a clone: its shape, its own disk, and whose fault a failure is.
 */
import { rm } from "node:fs/promises";
import { BlazarError, blazarError } from "../../../contracts/errors.ts";
import type { LayerImages } from "../../../contracts/storage.ts";
import { isSameShape, type VmDisk, type VmSource, type VmSpec } from "../../../contracts/vm.ts";
import type { TemplateIdentity } from "../../../contracts/vmm.ts";
import { checkTemplate, type TemplateManifest, templateError, templatePaths } from "./files.ts";

/** Id of the disk that a template's guest has: prepared there, and so in every clone. */
export const TEMPLATE_DISK = "prepared";

/** The source of a clone. */
export type CloneSource = VmSource & { readonly kind: "clone" };

export interface CloneInput {
  readonly spec: VmSpec;
  readonly source: CloneSource;
  readonly manifest: TemplateManifest;
  /** Makes disks; undefined = templates have none. */
  readonly images: LayerImages | undefined;
}

/** Launches a clone with a disk of its own, which is removed if that fails. Throws InvalidArgument, too. */
export async function launchClone<T>(
  input: CloneInput,
  launch: (disk: VmDisk | undefined) => Promise<T>,
): Promise<T> {
  checkShape(input);
  const disk = await copyDisk(input);
  try {
    return await launch(disk);
  } catch (error) {
    if (disk !== undefined) await rm(disk.path, { force: true });
    throw error;
  }
}

/** The error of a clone that did not start, which may be its template's fault. */
export async function blame(error: unknown, template: string): Promise<unknown> {
  if (!(error instanceof BlazarError)) return error;
  if (!["VmmFailed", "HostResource", "StorageFailed"].includes(error.code)) return error;
  try {
    await checkTemplate(template, false);
  } catch (damage) {
    return damage;
  }
  if (error.code !== "VmmFailed") return error;
  return templateError("TemplateBroken", template, error.details.reason, error);
}

/** Throws TemplateBroken if the template was made of something else than what is there now. */
export function checkCurrent(directory: string, manifest: TemplateManifest, current: TemplateIdentity): void {
  if (current.key === manifest.identity.key) return;
  const changed = Object.keys(current.parts).filter(
    (name) => current.parts[name] !== manifest.identity.parts[name],
  );
  throw templateError("TemplateBroken", directory, `it is out of date: ${changed.join(", ")} changed`);
}

function checkShape({ spec, source, manifest }: CloneInput): void {
  if (isSameShape(spec, manifest)) return;
  const { vcpus, memoryBytes, nics } = manifest;
  const shape = `${vcpus} processors, ${memoryBytes} bytes of memory and ${nics} network interfaces`;
  const reason = `the template ${source.template} has ${shape}`;
  throw blazarError("InvalidArgument", "clone a VM", reason, { subject: spec.id });
}

/** The clone writes to its own copy; no VMM ever opens the template's. */
async function copyDisk({ spec, source, manifest, images }: CloneInput): Promise<VmDisk | undefined> {
  if (manifest.diskSha256 === undefined || images === undefined) return undefined;
  if (source.disk === undefined) {
    const reason = "it has no place for its disk, and the template has one";
    throw blazarError("InvalidArgument", "clone a VM", reason, { subject: spec.id });
  }
  await images.unpack(templatePaths(source.template).disk, source.disk, spec.user);
  return { id: TEMPLATE_DISK, path: source.disk, readonly: false };
}
