/** A lease on an image that somebody else than a container has, such as a warm VM (contracts/images.ts). */
import { object, oneOf, string } from "../../../protocol/wire/json.ts";
import type { ResourceKind } from "./kind.ts";

export interface ImageResource {
  readonly kind: "image";
  /** The image's. */
  readonly key: string;
  /** Who has the lease: the VM's id, also after a sandbox has adopted the VM. */
  readonly holder: string;
}

export const image: ResourceKind<ImageResource> = {
  describe: ({ key, holder }) => `lease of ${holder} on the image ${key}`,
  names: ({ key, holder }) => [`image ${key} ${holder}`],
  outlivesBoot: true,
  check: object({ kind: oneOf("image"), key: string, holder: string }),
  // a look would have to read the store, and giving a lease back twice is harmless
  observe: async () => "unknown",
  undo: ({ key, holder }, { images }) => images.release(key, holder),
};
