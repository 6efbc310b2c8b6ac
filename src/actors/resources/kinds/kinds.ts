/**
 * The table of resource kinds. A kind that is missing here is a type error, and so is one that lacks a part.
 *
 * To add a kind: write its file, add its type to {@link HostResource} and its line to the table.
 */
import { blazarError } from "../../../contracts/errors.ts";
import { isRecord } from "../../../protocol/wire/json.ts";
import { type CgroupsResource, cgroups } from "./cgroups.ts";
import { type DirectoryResource, directory } from "./directory.ts";
import { type FileResource, file } from "./file.ts";
import { type ImageResource, image } from "./image.ts";
import type { Presence, ResourceKind, ResourcePorts } from "./kind.ts";
import { type NetworkResource, network } from "./network.ts";
import { type ProcessResource, process } from "./process.ts";
import { type RootfsResource, rootfs } from "./rootfs.ts";
import { type StdioResource, stdio } from "./stdio.ts";
import { type VolumeResource, volume } from "./volume.ts";

/** A thing on the host that somebody has to undo. Plain data. */
export type HostResource =
  | CgroupsResource
  | DirectoryResource
  | FileResource
  | ImageResource
  | NetworkResource
  | ProcessResource
  | RootfsResource
  | StdioResource
  | VolumeResource;

export type ResourceKindName = HostResource["kind"];

type Table = { readonly [Name in ResourceKindName]: ResourceKind<Extract<HostResource, { kind: Name }>> };

export const KINDS = {
  cgroups,
  directory,
  file,
  image,
  network,
  process,
  rootfs,
  stdio,
  volume,
} satisfies Table;

/** The kind of a resource; the table's type says that it fits. */
function kindOf<Resource extends HostResource>({ kind }: Resource): ResourceKind<Resource> {
  return KINDS[kind] as unknown as ResourceKind<Resource>;
}

/** Words for an operator: what it is, and which. */
export function describeResource(resource: HostResource): string {
  return kindOf(resource).describe(resource);
}

/** Under which names it is found on the host. */
export function namesOf(resource: HostResource): readonly string[] {
  return kindOf(resource).names(resource);
}

/** Whether it may be there after the host was booted again. */
export function outlivesBoot(resource: HostResource): boolean {
  return kindOf(resource).outlivesBoot;
}

/** Whether it is on the host. */
export function observeResource(resource: HostResource, ports: ResourcePorts): Promise<Presence> {
  return kindOf(resource).observe(resource, ports);
}

/** Takes it away; what is gone already is success. */
export function undoResource(resource: HostResource, ports: ResourcePorts): Promise<void> {
  return kindOf(resource).undo(resource, ports);
}

/** Reads a resource from a journal. Throws FrameMalformed. */
export function checkResource(value: unknown, path: string): HostResource {
  const kind = isRecord(value) ? value["kind"] : undefined;
  if (typeof kind !== "string" || !Object.hasOwn(KINDS, kind))
    throw blazarError("FrameMalformed", "read a resource", "it is of no known kind", { subject: path });
  return KINDS[kind as ResourceKindName].check(value, path);
}
