/**
 * Bundles the product: src/main.ts to dist/blazar.mjs, each command of src/cli to dist/<command>.mjs, each worker of
 * src/workers to dist/workers/. So is each part that few configurations ask for.
 *
 * A bundle loads faster than the module tree and keeps 12 MB less in memory. Each command is a bundle of its own,
 * because the text of everything that is loaded stays in memory. koffi (native code) and piscina (it starts its own
 * worker file) stay outside, in node_modules. Files are renamed into place: a daemon may be starting from the old ones.
 */
import { chmod, readdir, rm } from "node:fs/promises";
import path from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";
import { blazarError } from "../../src/contracts/errors.ts";
import { isBuilt, noteBuilt, sourcesStamp } from "./built-stamp.ts";
import { buildPage, pageDirectory } from "./page.ts";
import { distDirectory, repoRoot } from "./paths.ts";
import type { Progress } from "./progress.ts";
import { replaceFile } from "./replace-file.ts";
import { productVersion, versionDefine } from "./version.ts";

/** The bundle of the product's entry. */
const PROGRAM = "blazar.mjs";
/** Of dist/: what `npm run package` has made there. */
export const PACKAGES = "packages";

/** Resolved at run time, from node_modules beside dist/. */
const EXTERNAL = ["koffi", "piscina"];

/** Modules of src/cli that the command line imports when their command is called. */
const COMMANDS = [
  ...["doctor", "image", "install", "replay", "run", "serve", "template", "ui"],
  ...[
    "bundle",
    "drain",
    "events",
    "exec",
    "graph",
    "inspect",
    "logs",
    "pod-names",
    "ps",
    "timeline",
    "top",
    "why",
  ].map((name) => `inspection/${name}`),
];

/** Modules of src that the daemon imports only if the configuration asks for them, by their bundle's name. */
const PARTS: Readonly<Record<string, string>> = { traces: "src/observe/traces/traces.ts" };

/** Whoever imports one finds its bundle beside its own. */
const LOADED_LATER: Plugin = {
  name: "commands and parts are bundles of their own",
  setup(bundler) {
    bundler.onResolve({ filter: /^\.{1,2}\/cli\/.+\.ts$/ }, ({ path: asked, kind }) => {
      const [, module] = /\/cli\/(.+)\.ts$/.exec(asked) ?? [];
      if (kind !== "dynamic-import" || module === undefined || !COMMANDS.includes(module)) return undefined;
      return { path: `./${path.basename(module)}.mjs`, external: true };
    });
    bundler.onResolve({ filter: /^\.\.\/.*\.ts$/ }, ({ path: asked, kind, resolveDir }) => {
      if (kind !== "dynamic-import") return undefined;
      const module = path.relative(repoRoot(), path.resolve(resolveDir, asked));
      const name = Object.keys(PARTS).find((part) => PARTS[part] === module);
      return name === undefined ? undefined : { path: `./${name}.mjs`, external: true };
    });
  },
};

/**
 * grpc-js imports it for servers that publish channelz or ORCA; blazard does not. With protobufjs it would be an eighth
 * of the daemon's text.
 */
const NEVER_LOADED: Plugin = {
  name: "what is never loaded is not bundled",
  setup(bundler) {
    bundler.onResolve({ filter: /^@grpc\/proto-loader$/ }, ({ path: asked }) => ({
      path: asked,
      external: true,
    }));
  },
};

/** CommonJS dependencies ask for Node's modules by `require`, which an ES module does not have. */
const BANNER = [
  "#!/usr/bin/env node",
  'import { createRequire as __createRequire } from "node:module";',
  "const require = __createRequire(import.meta.url);",
].join("\n");

/**
 * How a program of the product is bundled, and any program beside it. V8 keeps a bundle's text as long as the process
 * lives. Without white space, and with rxjs as ES modules (of which unused parts are left out), the idle daemon takes
 * 4.5 MB less. Names stay as they are: people read stack traces.
 */
export function bundleOptions() {
  return {
    minifyWhitespace: true,
    minifySyntax: true,
    alias: { rxjs: path.join(repoRoot(), "node_modules", "rxjs", "dist", "esm", "index.js") },
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    external: EXTERNAL,
    plugins: [LOADED_LATER, NEVER_LOADED],
    banner: { js: BANNER },
    define: versionDefine(),
    sourcemap: "linked",
    logLevel: "warning",
  } satisfies BuildOptions;
}

/** Where the product's entry is bundled to. */
export function programFile(): string {
  return path.join(distDirectory(), PROGRAM);
}

/** Where a bundle goes, and what it says of itself. */
export interface BundleTarget {
  readonly directory: string;
  readonly version: string;
  /** For stack traces in a checkout; a package has none. */
  readonly sourceMaps: boolean;
}

/** What bundles are made of, and by. */
const SOURCES = ["src", "web", "setup/lib", "package.json", "package-lock.json"];

/** Bundles everything, unless it is there. */
export async function buildDist(
  progress: Progress,
  target: BundleTarget = { directory: distDirectory(), version: productVersion(), sourceMaps: true },
): Promise<void> {
  const { directory } = target;
  const started = performance.now();
  const root = repoRoot();
  const sources = await sourcesStamp(
    SOURCES.map((place) => path.join(root, place)),
    JSON.stringify([target.version, target.sourceMaps]),
  );
  // a package has the same bytes each time, and so no such file
  const isCheckouts = directory === distDirectory();
  if (isCheckouts && (await isBuilt(directory, sources))) return progress.line(`✓ ${PROGRAM} is up to date`);
  const workers = await workerNames(root);
  const result = await build({
    absWorkingDir: root,
    entryPoints: [
      { in: "src/main.ts", out: "blazar" },
      ...COMMANDS.map((module) => ({ in: `src/cli/${module}.ts`, out: path.basename(module) })),
      ...Object.entries(PARTS).map(([out, module]) => ({ in: module, out })),
      ...workers.map((name) => ({ in: `src/workers/${name}.worker.ts`, out: `workers/${name}.worker` })),
    ],
    outdir: directory,
    write: false,
    ...bundleOptions(),
    define: versionDefine(target.version),
    sourcemap: target.sourceMaps && "linked",
  }).catch((cause: unknown) => {
    throw blazarError("Internal", "bundle the product", "esbuild found the errors above", {
      subject: "src/main.ts",
      remedy: "fix them; npm run check shows more",
      cause,
    });
  });
  for (const file of result.outputFiles) await replaceFile(file.path, file.contents);
  await chmod(path.join(directory, PROGRAM), 0o755);
  await removeOthers(directory, new Set(result.outputFiles.map((file) => file.path)));
  await buildPage(progress, directory);
  const page = pageDirectory(directory);
  const pageFiles = (await readdir(page)).map((name) => path.join(page, name));
  const files = [...result.outputFiles.map((file) => file.path), ...pageFiles];
  if (isCheckouts) await noteBuilt(directory, sources, files);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  progress.line(
    `✓ ${PROGRAM}, ${COMMANDS.length} commands and ${workers.length} workers are built (${seconds} s)`,
  );
}

async function workerNames(root: string): Promise<string[]> {
  const names = await readdir(path.join(root, "src", "workers"));
  return names.flatMap((name) => /^(.+)\.worker\.ts$/.exec(name)?.[1] ?? []);
}

/** A worker that was renamed must not stay behind. */
async function removeOthers(directory: string, kept: ReadonlySet<string>): Promise<void> {
  for (const place of [directory, path.join(directory, "workers")]) {
    const stale = (await readdir(place)).filter((name) => /\.mjs(\.map)?$/.test(name));
    for (const name of stale)
      if (!kept.has(path.join(place, name))) await rm(path.join(place, name), { force: true });
  }
}
