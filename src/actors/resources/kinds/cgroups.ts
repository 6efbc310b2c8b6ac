/** A sandbox's control groups, one directory a hierarchy (cgroups(7)). */
import { array, object, oneOf, string } from "../../../protocol/wire/json.ts";
import type { ResourceKind } from "./kind.ts";
import { presenceOf } from "./paths.ts";

export interface CgroupsResource {
  readonly kind: "cgroups";
  readonly directories: readonly string[];
}

export const cgroups: ResourceKind<CgroupsResource> = {
  describe: ({ directories }) => `cgroups ${directories.join(", ")}`,
  names: ({ directories }) => directories.map((directory) => `cgroup ${directory}`),
  outlivesBoot: false,
  check: object({ kind: oneOf("cgroups"), directories: array(string) }),
  observe: ({ directories }) => presenceOf(...directories),
  undo: ({ directories }, ports) => ports.cgroups.remove(directories),
};
