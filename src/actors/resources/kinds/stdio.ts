/** A process's FIFOs, held open by the keeper under an id. */
import type { StdioPaths } from "../../../contracts/keeper.ts";
import { object, oneOf, string } from "../../../protocol/wire/json.ts";
import type { ResourceKind } from "./kind.ts";

/** The keeper's name for the streams of a process. @param execId "" for the container's first */
export function stdioId(containerId: string, execId: string): string {
  return `${containerId}/${execId}`;
}

export interface StdioResource {
  readonly kind: "stdio";
  /** As {@link stdioId} makes it. */
  readonly id: string;
  readonly paths: StdioPaths;
}

export const stdio: ResourceKind<StdioResource> = {
  describe: ({ id }) => `stdio ${id}`,
  names: ({ id }) => [`stdio ${id}`],
  outlivesBoot: false,
  check: object({
    kind: oneOf("stdio"),
    id: string,
    paths: object({ stdin: string, stdout: string, stderr: string }),
  }),
  observe: async ({ id }, { keeper }) => (keeper.inventory().stdio.includes(id) ? "present" : "absent"),
  /** The keeper still holds it: it is taken up under its old id, for the one purpose of closing it. */
  undo: async ({ id, paths }, { keeper }) => {
    if (!keeper.inventory().stdio.includes(id)) return;
    const nothing = () => undefined;
    const handlers = { acknowledged: nothing, input: nothing, inputEnd: nothing };
    const binding = await keeper.openStdio(id, paths, handlers);
    await binding.close();
  },
};
