/** A directory with all that is in it: a sandbox's own, or that of its VM's sockets. */
import { object, oneOf, string } from "../../../protocol/wire/json.ts";
import type { ResourceKind } from "./kind.ts";
import { presenceOf } from "./paths.ts";

export interface DirectoryResource {
  readonly kind: "directory";
  readonly path: string;
}

export const directory: ResourceKind<DirectoryResource> = {
  describe: ({ path }) => `directory ${path}`,
  names: ({ path }) => [`path ${path}`],
  outlivesBoot: true,
  check: object({ kind: oneOf("directory"), path: string }),
  observe: ({ path }) => presenceOf(path),
  undo: ({ path }, { files }) => files.removeTree(path),
};
