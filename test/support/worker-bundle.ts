/**
 * Bundles a worker's TypeScript into a temporary directory, so that tests run it in real threads without a build.
 *
 * koffi stays outside of the bundle and is found by its absolute path: it loads a native library from its own folder.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export interface WorkerBundle {
  /** The bundle, as a pool takes it. */
  readonly file: string;
  remove(): Promise<void>;
}

/** @param name `rootfs` for src/workers/rootfs.worker.ts */
export async function bundleWorker(name: string): Promise<WorkerBundle> {
  const directory = await mkdtemp(path.join(tmpdir(), "blazar-worker-"));
  const file = path.join(directory, `${name}.worker.mjs`);
  await build({
    entryPoints: [fileURLToPath(new URL(`../../src/workers/${name}.worker.ts`, import.meta.url))],
    outfile: file,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "error",
    plugins: [
      {
        name: "koffi-by-path",
        setup(context) {
          context.onResolve({ filter: /^koffi$/ }, () => ({
            path: fileURLToPath(import.meta.resolve("koffi")),
            external: true,
          }));
        },
      },
    ],
  });
  return { file, remove: () => rm(directory, { recursive: true, force: true }) };
}
