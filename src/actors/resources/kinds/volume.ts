/** A bind of a volume below the directory that is served to a guest (contracts/volumes.ts). */
import { object, oneOf, string } from "../../../protocol/wire/json.ts";
import type { ResourceKind } from "./kind.ts";
import { presenceOf } from "./paths.ts";

export interface VolumeResource {
  readonly kind: "volume";
  /** Where it is mounted. */
  readonly target: string;
}

export const volume: ResourceKind<VolumeResource> = {
  describe: ({ target }) => `volume ${target}`,
  names: ({ target }) => [`path ${target}`],
  outlivesBoot: false,
  check: object({ kind: oneOf("volume"), target: string }),
  observe: ({ target }) => presenceOf(target),
  undo: ({ target }, { volumes }) => volumes.unmount({ target }),
};
