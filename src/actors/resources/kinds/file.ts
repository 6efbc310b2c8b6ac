/** A file: the disk image of a VM that has no container yet. */
import { object, oneOf, string } from "../../../protocol/wire/json.ts";
import type { ResourceKind } from "./kind.ts";
import { presenceOf } from "./paths.ts";

export interface FileResource {
  readonly kind: "file";
  readonly path: string;
}

export const file: ResourceKind<FileResource> = {
  describe: ({ path }) => `file ${path}`,
  names: ({ path }) => [`path ${path}`],
  outlivesBoot: true,
  check: object({ kind: oneOf("file"), path: string }),
  observe: ({ path }) => presenceOf(path),
  undo: ({ path }, { files }) => files.removeFile(path),
};
