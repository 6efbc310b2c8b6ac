/** A container's root on the host: image or mounted layers, and a disk, as its plan names them (contracts/storage.ts). */
import type { RootfsLower, RootfsPlan } from "../../../contracts/storage.ts";
import {
  array,
  boolean,
  type Check,
  integer,
  isRecord,
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

const image = object({ kind: oneOf("image"), key: string, path: string });
const share = object({ kind: oneOf("share"), directory: string, target: string, layers: array(string) });

const disks = object({ kind: oneOf("disks"), paths: array(string) });
const LOWER: { readonly [Kind in RootfsLower["kind"]]: Check<RootfsLower> } = { image, disks, share };

function lower(value: unknown, path: string): RootfsLower {
  const kind = isRecord(value) ? value["kind"] : undefined;
  return kind === "image" || kind === "disks" ? LOWER[kind](value, path) : share(value, path);
}

/** A part of a plan without a check would be lost in the journal, and nobody would undo it. */
const PLAN = {
  containerId: string,
  lower: optional(lower),
  disk: object({
    path: string,
    filesystem: string,
    owned: boolean,
    readonly: boolean,
    kept: (value, path) => (value === undefined ? false : boolean(value, path)),
  }),
  guest: object({
    kind: oneOf("layers", "image", "disk", "builtin", "archive"),
    path: string,
    readonly: boolean,
  }),
  owner: optional(object({ uid: integer(), gid: integer() })),
  idmapped: optional(boolean),
} satisfies Record<keyof RootfsPlan, Check<unknown>>;

const plan: Check<RootfsPlan> = object(PLAN);

export const rootfs: ResourceKind<RootfsResource> = {
  describe: (resource) => `root of container ${resource.plan.containerId}`,
  names: ({ plan: { containerId, disk, lower } }) => [
    `path ${disk.path}`,
    ...(lower?.kind === "share" ? [`path ${lower.directory}`] : []),
    ...(lower?.kind === "image" ? [`image ${lower.key} ${containerId}`] : []),
  ],
  outlivesBoot: true,
  check: object({ kind: oneOf("rootfs"), plan }),
  // a lease and a layer that its snapshot keeps cannot be told from those of somebody else
  observe: async ({ plan: { lower } }) => (lower?.kind === "share" ? presenceOf(lower.directory) : "unknown"),
  undo: (resource, ports) => ports.rootfs.release(resource.plan),
};
