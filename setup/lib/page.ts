/**
 * Bundles the state-chart page: web/main.tsx to dist/page/, with its styles, fonts and elkjs's worker.
 *
 * Everything that the page needs is there: it works without a network. File names stay the same, because the server answers
 * with `no-store`. The layout's worker is elkjs's own file, unchanged.
 */
import { readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { type BuildOptions, build } from "esbuild";
import { blazarError } from "../../src/contracts/errors.ts";
import { distDirectory, repoRoot } from "./paths.ts";
import type { Progress } from "./progress.ts";
import { replaceFile } from "./replace-file.ts";

/** Copied as they are: source in the checkout → name in dist/page/. */
const COPIED: readonly (readonly [string, string])[] = [
  ["web/index.html", "index.html"],
  ["web/icon.svg", "icon.svg"],
  ["node_modules/elkjs/lib/elk-worker.min.js", "elk-worker.js"],
];

const KIB = 1024;

/** Where the page's files are. @param dist the bundle's directory */
export function pageDirectory(dist = distDirectory()): string {
  return path.join(dist, "page");
}

function pageOptions(directory: string) {
  return {
    absWorkingDir: repoRoot(),
    entryPoints: [{ in: "web/main.tsx", out: "page" }],
    outdir: directory,
    bundle: true,
    format: "esm",
    platform: "browser",
    target: ["chrome109", "firefox115", "safari16.4"],
    jsx: "automatic",
    minify: true,
    legalComments: "linked",
    loader: { ".woff2": "file" },
    assetNames: "[name]",
    // React's development half is left out
    define: { "process.env.NODE_ENV": '"production"' },
    write: false,
    logLevel: "warning",
  } satisfies BuildOptions;
}

/** Bundles the page; takes under a second. */
export async function buildPage(progress: Progress, dist = distDirectory()): Promise<void> {
  const started = performance.now();
  const directory = pageDirectory(dist);
  const { outputFiles } = await build(pageOptions(directory)).catch((cause: unknown) => {
    throw blazarError("Internal", "bundle the page", "esbuild found the errors above", {
      subject: "web/main.tsx",
      remedy: "fix them; npm run check shows more",
      cause,
    });
  });
  const files = new Map(outputFiles.map((file) => [file.path, file.contents]));
  for (const [source, name] of COPIED)
    files.set(path.join(directory, name), await readFile(path.join(repoRoot(), source)));
  for (const [file, contents] of files) await replaceFile(file, contents);
  for (const name of await readdir(directory))
    if (!files.has(path.join(directory, name))) await rm(path.join(directory, name), { force: true });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  progress.line(`✓ the page is built, ${await compressedKib(directory)} KiB compressed (${seconds} s)`);
}

/** Size of all files as a browser would be sent them over a network. */
async function compressedKib(directory: string): Promise<number> {
  let total = 0;
  for (const name of await readdir(directory))
    if (!name.endsWith(".LEGAL.txt")) total += gzipSync(await readFile(path.join(directory, name))).length;
  return Math.round(total / KIB);
}
