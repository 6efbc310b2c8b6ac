/**
 * Step: one program of the native runtime (guest agent, keeper, file server), rebuilt when its bundle, the C or the engine change.
 *
 * The look bundles the TypeScript: that takes milliseconds, and the bundle is the exact key. artifacts.ts decides which
 * programs there are.
 */
import path from "node:path";
import { bundleProgram, linkProgram, type ProgramBundle } from "../../native/build.ts";
import type { Cache } from "../lib/cache.ts";
import type { QuickJs } from "./quickjs.ts";
import type { Step } from "./steps.ts";

/** A built program. */
export interface Program {
  readonly binary: string;
  readonly key: string;
}

export function programStep(cache: Cache, quickjs: QuickJs, name: string, entry: string): Step<Program> {
  let bundle: ProgramBundle | undefined;
  const kind = `program-${name}`;
  const ensure = async (one: ProgramBundle): Promise<Program> => {
    const directory = await cache.ensure(kind, one.key, (partial) =>
      linkProgram(one, quickjs, path.join(partial, name)),
    );
    return { binary: path.join(directory, name), key: one.key };
  };
  return {
    name,
    why: `compiles ${entry} for QuickJS and links a static binary`,
    upToDate: async () => {
      bundle = await bundleProgram(name, entry, quickjs);
      return cache.has(kind, bundle.key) ? await ensure(bundle) : undefined;
    },
    run: async () => {
      const program = await ensure(bundle ?? (await bundleProgram(name, entry, quickjs)));
      await cache.prune(kind);
      return program;
    },
  };
}
