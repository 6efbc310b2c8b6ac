#!/usr/bin/env node
/**
 * Runs a TypeScript entry of this checkout: `node setup/run.mjs setup/test.ts [args…]`.
 *
 * The only plain JavaScript here, because Node 20 cannot read TypeScript. It installs the npm packages
 * when package-lock.json changed, bundles the entry with esbuild into node_modules/.cache and imports the
 * bundle into this very process, so that signals, stdin and the exit code are the entry's own. Entries find
 * the checkout by BLAZAR_ROOT, never by import.meta.url. Must import nothing outside Node before `npm ci`.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const modules = path.join(root, "node_modules");
const stamp = path.join(modules, ".blazar-lock-hash");

function fail(message) {
  process.stderr.write(`blazar: ${message}\n`);
  process.exit(1);
}

function lockHash() {
  return createHash("sha256")
    .update(readFileSync(path.join(root, "package-lock.json")))
    .digest("hex");
}

function installed(wanted) {
  return existsSync(stamp) && readFileSync(stamp, "utf8").trim() === wanted;
}

/** Two commands may start at once in a fresh clone: flock(2) on an inherited descriptor ends with this process. */
async function withInstallLock(body) {
  const fd = openSync(path.join(root, "package-lock.json"), "r");
  try {
    const stdio = ["ignore", "ignore", "ignore", fd];
    if (spawnSync("flock", ["-x", "-n", "3"], { stdio }).status === 1) {
      process.stderr.write(
        "another command is installing the npm packages of this checkout: waiting for it\n",
      );
      spawnSync("flock", ["-x", "3"], { stdio });
    }
    await body();
  } finally {
    closeSync(fd);
  }
}

/** Runs npm with its output on stderr, and yields what went wrong, if anything. */
function npm(args) {
  const child = spawn("npm", args, { cwd: root, stdio: ["ignore", 2, 2] });
  return new Promise((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", (status, signal) =>
      resolve(status === 0 ? undefined : `ended with ${status ?? signal}`),
    );
  });
}

async function install() {
  const wanted = lockHash();
  if (installed(wanted)) return;
  await withInstallLock(async () => {
    if (installed(wanted)) return;
    const why = existsSync(modules) ? "package-lock.json changed" : "node_modules is missing";
    process.stderr.write(`▸ npm packages: npm ci, because ${why} (compilers, test runner, libraries)\n`);
    const started = Date.now();
    const seconds = () => ((Date.now() - started) / 1000).toFixed(1);
    const ticker = setInterval(() => process.stderr.write(`  … npm ci, ${seconds()} s so far\n`), 10_000);
    const problem = await npm(["ci", "--no-fund", "--no-audit", "--loglevel=error", "--fetch-timeout=60000"]);
    clearInterval(ticker);
    if (problem !== undefined) {
      fail(
        `step "npm packages" failed\n  tried: npm ci (in ${root})\n  result: ${problem}\n` +
          "  what to do: see npm's lines above; check that npm is installed and reaches its registry, then run again",
      );
    }
    writeFileSync(stamp, `${wanted}\n`);
    process.stderr.write(`✓ npm packages (${seconds()} s)\n`);
  });
}

async function bundle(entry) {
  const { build, stop } = await import(
    pathToFileURL(path.join(modules, "esbuild", "lib", "main.js")).href
  ).then((loaded) => loaded.default);
  const result = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node20",
    packages: "external",
    sourcemap: "inline",
    logLevel: "warning",
  });
  stop?.();
  const directory = path.join(modules, ".cache", "blazar");
  mkdirSync(directory, { recursive: true });
  const file = path.join(directory, `${path.basename(entry, ".ts")}.mjs`);
  // written aside and renamed: another run may be importing the old one now
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, result.outputFiles[0].contents);
  renameSync(temporary, file);
  return file;
}

const [entry, ...args] = process.argv.slice(2);
const major = Number(process.versions.node.split(".")[0]);
if (major < 20) fail(`Node 20 or newer is needed, this is ${process.versions.node}`);
if (entry === undefined) fail("usage: node setup/run.mjs <entry.ts> [args…]");
if (!existsSync(path.resolve(root, entry))) fail(`no such entry: ${entry}`);

await install();
process.env.BLAZAR_ROOT = root;
process.setSourceMapsEnabled(true);
const file = await bundle(path.resolve(root, entry));
process.argv = [process.argv[0], file, ...args];
await import(pathToFileURL(file).href).catch((error) => {
  process.stderr.write(`blazar: ${error?.stack ?? error}\n`);
  process.exitCode = 1;
});
