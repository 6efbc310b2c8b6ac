/**
 * `npm run check [-- NAME…]`: format, lint, types, layers, unused code and forgotten promises, for people and CI.
 *
 * Checks run two at a time, each as a child process; the output of a failed one is shown at its end. Needs only the npm
 * packages. Must not change a file: `npm run format` does that.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { command } from "./lib/entry.ts";
import { nodeBin, repoRoot } from "./lib/paths.ts";

interface Check {
  readonly name: string;
  readonly what: string;
  /** A program of node_modules/.bin, or an absolute path. */
  readonly bin: string;
  readonly args: readonly string[];
}

/** What dependency-cruiser looks at, as far as it exists. */
const LAYERED = [
  "src",
  "web",
  "lab",
  "guest",
  "keeper",
  "fileserver",
  "native",
  "setup",
  "test",
  "bench",
].filter((name) => existsSync(path.join(repoRoot(), name)));

const CHECKS: readonly Check[] = [
  { name: "types", what: "tsc, code for Node", bin: "tsc", args: ["-p", "tsconfig.json"] },
  { name: "promises", what: "typescript-eslint, no-floating-promises", bin: "eslint", args: ["."] },
  { name: "types-quickjs", what: "tsc, code for QuickJS", bin: "tsc", args: ["-p", "tsconfig.quickjs.json"] },
  { name: "types-web", what: "tsc, code for browsers", bin: "tsc", args: ["-p", "tsconfig.web.json"] },
  { name: "style", what: "biome, format and lint", bin: "biome", args: ["ci", "--colors=off", "."] },
  {
    name: "layers",
    what: "dependency-cruiser",
    bin: "depcruise",
    args: ["--output-type", "err-long", ...LAYERED],
  },
  { name: "unused", what: "knip", bin: "knip", args: ["--no-progress"] },
  {
    name: "generated",
    what: "src/rpc/generated is what proto/ says",
    bin: process.execPath,
    args: ["setup/run.mjs", "setup/generate.ts", "--check"],
  },
];

interface Outcome {
  readonly check: Check;
  readonly ok: boolean;
}

function runCheck(check: Check): Promise<Outcome> {
  return new Promise((resolve) => {
    const started = performance.now();
    const output: Buffer[] = [];
    const program = path.isAbsolute(check.bin) ? check.bin : nodeBin(check.bin);
    const child = spawn(program, check.args, {
      cwd: repoRoot(),
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    });
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => output.push(chunk));
    child.on("error", (error) => output.push(Buffer.from(`${error.message}\n`)));
    child.on("close", (status) => {
      const ok = status === 0;
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      process.stdout.write(`${ok ? "✓" : "✗"} ${check.name} (${check.what}, ${seconds} s)\n`);
      if (!ok) process.stdout.write(`${Buffer.concat(output).toString().trimEnd()}\n`);
      resolve({ check, ok });
    });
  });
}

async function runAll(checks: readonly Check[]): Promise<Outcome[]> {
  const queue = [...checks];
  const outcomes: Outcome[] = [];
  const worker = async (): Promise<void> => {
    for (let check = queue.shift(); check !== undefined; check = queue.shift())
      outcomes.push(await runCheck(check));
  };
  await Promise.all([worker(), worker()]);
  return outcomes;
}

await command(async () => {
  const names = process.argv.slice(2);
  const unknown = names.filter((name) => !CHECKS.some((check) => check.name === name));
  if (unknown.length > 0) {
    process.stderr.write(
      `no such check: ${unknown.join(", ")} (there are: ${CHECKS.map(({ name }) => name).join(", ")})\n`,
    );
    return 2;
  }
  const outcomes = await runAll(CHECKS.filter((check) => names.length === 0 || names.includes(check.name)));
  const failed = outcomes.filter((outcome) => !outcome.ok).map((outcome) => outcome.check.name);
  process.stdout.write(
    failed.length === 0 ? "all checks passed\n" : `checks that failed: ${failed.join(", ")}\n`,
  );
  return failed.length === 0 ? 0 : 1;
});
