/**
 * `npm run generate`: writes src/rpc/generated from proto/.
 *
 * Runs buf and ts-proto out of node_modules, without the network. Services become grpc-js stubs. Task and Events are
 * spoken over ttrpc: they become a table from method names to codecs. The output is committed, so run this after every
 * change of proto/. `--check` fails if the committed output is not current.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeBin, repoRoot } from "./lib/paths.ts";

const protoDirectory = join(repoRoot(), "proto");
const outputDirectory = join(repoRoot(), "src", "rpc", "generated");

/** Files whose service gets a generic method table instead of grpc-js stubs. */
const TTRPC_FILES = ["containerd/task/v3/task.proto", "containerd/services/events/ttrpc/v1/events.proto"];

const COMMON_OPTIONS = [
  "env=both",
  "esModuleInterop=true",
  "importSuffix=.ts",
  "forceLong=bigint",
  "useJsTypeOverride=true",
  "useDate=false",
  "useOptionals=none",
  "useExactTypes=false",
  "enumsAsLiterals=true",
  "outputJsonMethods=false",
  "outputClientImpl=false",
  "annotateFilesWithVersion=false",
  "comments=false",
];

function generate(services: string, output: string, selection: readonly string[]): void {
  const template = {
    version: "v2",
    plugins: [
      {
        local: nodeBin("protoc-gen-ts_proto"),
        out: output,
        opt: [...COMMON_OPTIONS, `outputServices=${services}`],
        include_imports: true,
        include_wkt: true,
      },
    ],
  };
  const args = ["generate", protoDirectory, "--template", JSON.stringify(template), ...selection];
  execFileSync(nodeBin("buf"), args, { stdio: "inherit", cwd: protoDirectory });
}

/** Relative paths of all files below `directory`, sorted. */
function listFiles(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort();
}

function isSameTree(left: string, right: string): boolean {
  const files = listFiles(left);
  if (files.join("\n") !== listFiles(right).join("\n")) return false;
  return files.every((file) => readFileSync(join(left, file)).equals(readFileSync(join(right, file))));
}

const scratch = mkdtempSync(join(tmpdir(), "blazar-generate-"));
try {
  const exclude = TTRPC_FILES.flatMap((file) => ["--exclude-path", join(protoDirectory, file)]);
  const include = TTRPC_FILES.flatMap((file) => ["--path", join(protoDirectory, file)]);
  generate("generic-definitions", scratch, include);
  generate("grpc-js", scratch, exclude);

  if (process.argv.includes("--check")) {
    if (!isSameTree(scratch, outputDirectory)) {
      console.error(
        "src/rpc/generated is not what proto/ says: run `npm run generate` and commit the result",
      );
      process.exitCode = 1;
    }
  } else {
    rmSync(outputDirectory, { recursive: true, force: true });
    cpSync(scratch, outputDirectory, { recursive: true });
    console.log(`wrote ${listFiles(outputDirectory).length} files to src/rpc/generated`);
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
