/** A container's root on the host: mounted layers and a disk image, as its plan names them (contracts/storage.ts). */
import type { RootfsPlan } from "../../../contracts/storage.ts";
import {
  array,
  boolean,
  type Check,
  integer,
  object,
  oneOf,
  optional,
  string,
} from "../../../protocol/wire/json.ts";
import type { ResourceKind } from "./kind.ts";
import { presenceOf } from "./paths.ts";

export interface RootfsResource {
  readonly kind: "rootfs";
  readonly plan: RootfsPlan;
}

/** A part of a plan without a check would be lost in the journal, and nobody would undo it. */
const PLAN = {
  containerId: string,
  directory: string,
  layers: optional(object({ target: string, lower: array(string) })),
  disk: object({
    path: string,
    filesystem: string,
    owned: boolean,
    readonly: boolean,
    kept: (value, path) => (value === undefined ? false : boolean(value, path)),
  }),
  guest: object({
    kind: oneOf("layers", "disk", "builtin", "archive"),
    path: string,
    readonly: boolean,
  }),
  owner: optional(object({ uid: integer(), gid: integer() })),
} satisfies Record<keyof RootfsPlan, Check<unknown>>;

const plan: Check<RootfsPlan> = object(PLAN);

export const rootfs: ResourceKind<RootfsResource> = {
  describe: (resource) => `root of container ${resource.plan.containerId}`,
  check: object({ kind: oneOf("rootfs"), plan }),
  observe: (resource) => presenceOf(resource.plan.directory),
  undo: (resource, ports) => ports.rootfs.release(resource.plan),
};
