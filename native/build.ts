/**
 * Builds a program for the native runtime: TypeScript → one JavaScript module → QuickJS bytecode → a static
 * musl binary with the C of native/*.c and native/sys/.
 *
 * The C is compiled with _GNU_SOURCE and must be free of warnings. main.c expects the bytecode under the names
 * `program_bytecode` and `program_bytecode_size`; the module of system calls is `js_init_module_sys`. The program
 * sees std, os and sys, and nothing of Node. Must keep the bytecode's debug information: stack traces name lines.
 */
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { build, type Message, type Plugin } from "esbuild";
import { contentKey, filesForKey } from "../setup/lib/cache.ts";
import { run } from "../setup/lib/command.ts";
import { repoRoot } from "../setup/lib/paths.ts";
import { versionDefine } from "../setup/lib/version.ts";
import type { QuickJs } from "../setup/steps/quickjs.ts";
import { type BlazarError, blazarError } from "../src/contracts/errors.ts";

/** What to build. */
export interface RuntimeProgram {
  /** The program's name, also the module's in stack traces: `agent`. */
  readonly name: string;
  /** The TypeScript entry, relative to the checkout. */
  readonly entry: string;
  /** Where the binary goes. */
  readonly output: string;
  /** The engine to build with. */
  readonly quickjs: QuickJs;
}

/** A program as one JavaScript module, before it is compiled. */
export interface ProgramBundle {
  readonly name: string;
  readonly code: string;
  /** Identifies the binary that it will become: bundle, C sources, flags and engine. */
  readonly key: string;
}

const CFLAGS = [
  "-O2",
  "-fno-pie",
  "-std=gnu11",
  "-D_GNU_SOURCE",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-ffunction-sections",
  "-fdata-sections",
];
const LDFLAGS = ["-static", "-Wl,--gc-sections", "-s"];
const C_FILE = /\.[ch]$/;
/** Change it when the recipe below changes in a way that its inputs do not show. */
const RECIPE = "1";

/** Bundles a program's TypeScript. It is fast: a `npm run setup` with nothing to do is mostly this. */
export async function bundleProgram(name: string, entry: string, quickjs: QuickJs): Promise<ProgramBundle> {
  const root = repoRoot();
  const result = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2023",
    platform: "neutral",
    external: ["std", "os"],
    plugins: [systemCalls(root)],
    define: versionDefine(),
    logLevel: "silent",
    // using a name that `sys` does not have is an error
    logOverride: { "import-is-undefined": "error" },
  }).catch((error: { errors?: Message[] }) => {
    throw bundleFailed(entry, error);
  });
  const code = result.outputFiles[0]?.text ?? "";
  const sources = await filesForKey(root, await nativeFiles(root));
  const key = contentKey([RECIPE, name, code, quickjs.key, ...CFLAGS, ...LDFLAGS, ...sources]);
  return { name, code, key };
}

/**
 * Resolves `sys` to its exports by name, so that `sys.open` becomes a variable of the bundle. Otherwise the engine
 * would look each call up among hundreds of names in the module's namespace.
 *
 * The names are those that native/sys/**.d.ts declare, found by regular expression: a function has a line of its
 * own, a constant is in capitals and has the type `number` or `bigint`.
 */
function systemCalls(root: string): Plugin {
  return {
    name: "sys",
    setup: ({ onResolve, onLoad }) => {
      onResolve({ filter: /^sys$/ }, ({ namespace }) =>
        namespace === "sys" ? { path: "sys", external: true } : { path: "sys", namespace: "sys" },
      );
      onLoad({ filter: /^sys$/, namespace: "sys" }, async () => {
        const files = await filesBelow(path.join(root, "native", "sys"), /\.d\.ts$/);
        const types = (await Promise.all(files.map((file) => readFile(file, "utf8")))).join("\n");
        const functions = [...types.matchAll(/^ {2}export function (\w+)/gm)];
        const constants = [...types.matchAll(/\b([A-Z][A-Z0-9_]+): (?:number|bigint)[,;]/g)];
        const names = [...functions, ...constants].map((match) => match[1]);
        return { contents: `export { ${names.join(", ")} } from "sys";` };
      });
    },
  };
}

/** Compiles and links a bundled program. */
export async function linkProgram(bundle: ProgramBundle, quickjs: QuickJs, output: string): Promise<void> {
  await mkdir(path.dirname(output), { recursive: true });
  const work = await mkdtemp(`${output}.build-`);
  try {
    const module = `${bundle.name}.js`;
    const bytecode = path.join(work, "bytecode.c");
    await writeFile(path.join(work, module), bundle.code);
    // The module's name appears in stack traces, so it must not say where it was built.
    // -m: a module; -c: C source of the bytecode only; -M: the C module that the import resolves to
    const arguments_ = ["-c", "-m", "-N", "program_bytecode", "-M", "sys,sys", "-o", bytecode, module];
    await run(quickjs.compiler, arguments_, { cwd: work });
    const sources = (await nativeFiles(repoRoot())).filter((file) => file.endsWith(".c"));
    const objects = await compileAll([bytecode, ...sources], quickjs, work);
    const binary = path.join(work, bundle.name);
    await run("musl-gcc", [...LDFLAGS, ...objects, quickjs.library, "-lm", "-o", binary]);
    await chmod(binary, 0o755);
    await rename(binary, output);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Bundles, compiles and links a program. */
export async function buildRuntime(program: RuntimeProgram): Promise<void> {
  const bundle = await bundleProgram(program.name, program.entry, program.quickjs);
  await linkProgram(bundle, program.quickjs, program.output);
}

/** Compiles two files at a time, because the machines that this runs on have few cores. */
async function compileAll(sources: readonly string[], quickjs: QuickJs, work: string): Promise<string[]> {
  // the engine's headers count as system headers, so that -Werror concerns this project's code only
  const includes = [
    "-isystem",
    quickjs.include,
    "-idirafter",
    quickjs.kernelHeaders,
    "-I",
    path.join(repoRoot(), "native"),
  ];
  const objects = sources.map((source, index) =>
    path.join(work, `${index}-${path.basename(source, ".c")}.o`),
  );
  const queue = sources.map((source, index) => ({ source, object: objects[index] ?? "" }));
  const worker = async (): Promise<void> => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      await run("musl-gcc", [...CFLAGS, ...includes, "-c", job.source, "-o", job.object]);
    }
  };
  await Promise.all([worker(), worker()]);
  return objects;
}

/** The runtime's C sources and headers: native/*.c and all of native/sys, but not native/fork and native/test. */
async function nativeFiles(root: string): Promise<string[]> {
  const directory = path.join(root, "native");
  const own = (await readdir(directory)).filter((name) => C_FILE.test(name));
  return [
    ...own.map((name) => path.join(directory, name)),
    ...(await filesBelow(path.join(directory, "sys"), C_FILE)),
  ].sort();
}

/** The files of a directory and its subdirectories whose names match, sorted. */
async function filesBelow(directory: string, pattern: RegExp): Promise<string[]> {
  const names = await readdir(directory, { recursive: true });
  return names
    .filter((name) => pattern.test(name))
    .map((name) => path.join(directory, name))
    .sort();
}

function bundleFailed(entry: string, error: { errors?: Message[] }): BlazarError {
  const first = error.errors?.[0];
  const place = first?.location ? ` (${first.location.file}:${first.location.line})` : "";
  return blazarError("Internal", "bundle for QuickJS", `${first?.text ?? String(error)}${place}`, {
    subject: entry,
    remedy: "mend the source; agent and keeper may import std, os, sys and nothing of Node",
    cause: error,
  });
}
