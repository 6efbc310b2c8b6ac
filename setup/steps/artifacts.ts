/**
 * Everything that set-up builds, as one record: {@link ensureArtifacts} makes it and keeps it in `<cache>/current.json`.
 *
 * The manifest is written last and in one piece: its readers (`blazar serve`, tests, benchmark) see this complete set
 * or the previous one. Must hold absolute paths only.
 */
import { readFileSync } from "node:fs";
import { readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { blazarError } from "../../src/contracts/errors.ts";
import { Cache } from "../lib/cache.ts";
import { withLock } from "../lib/lock.ts";
import { cacheDirectory } from "../lib/paths.ts";
import { type Progress, streamProgress } from "../lib/progress.ts";
import { busyboxStep } from "./busybox.ts";
import { type Containerd, containerdStep } from "./containerd.ts";
import { type EmptyExt4, emptyExt4Step } from "./empty-ext4.ts";
import { type ErofsUtils, erofsUtilsStep } from "./erofs-utils.ts";
import { forkLibraryStep } from "./fork-library.ts";
import { initramfsStep } from "./initramfs.ts";
import { kernelStep } from "./kernel.ts";
import { packagesStep } from "./packages.ts";
import { passtStep } from "./passt.ts";
import { programStep } from "./program.ts";
import { quickJsStep } from "./quickjs.ts";
import { attempt, perform } from "./steps.ts";

/** Paths of everything that was built; the content of `current.json`. */
export interface Artifacts {
  /** The cache they are in. */
  readonly cache: string;
  /** The engine, for building more programs with native/build.ts. */
  readonly quickjs: {
    readonly library: string;
    readonly compiler: string;
    readonly include: string;
    readonly kernelHeaders: string;
    readonly key: string;
  };
  /** The guest agent's static binary. */
  readonly agent: string;
  /** The keeper's static binary. */
  readonly keeper: string;
  /** The file server's static binary. */
  readonly fileServer: string;
  /** The library that makes a VMM forkable; null if it could not be built. */
  readonly forkLibrary: string | null;
  /** The guest's kernel, uncompressed ELF. */
  readonly vmlinux: string;
  /** The guest's kernel modules, with `order`. */
  readonly modules: string;
  /** The guest's initramfs, uncompressed cpio. */
  readonly initramfs: string;
  /** The image that writable layers are copied from, and its extents ({@link EmptyExt4}). */
  readonly emptyExt4: EmptyExt4;
  /** What makes disks of image layers; null if it could not be had. */
  readonly erofsUtils: ErofsUtils | null;
  /** Directory of pasta with its loader and C library; null if it could not be had. */
  readonly passt: string | null;
  /** A static busybox and the list of its applets. */
  readonly busybox: { readonly binary: string; readonly applets: string };
  /** The private containerd; null if there is none for this machine. */
  readonly containerd: Containerd | null;
}

const MANIFEST = "current.json";
/** Another containerd than set-up's, as JSON of {@link Containerd}: what `npm run test:containerd` has built. */
const CONTAINERD = "BLAZAR_CONTAINERD";

/** The variables with which a child process uses this containerd instead of set-up's. */
export function namedContainerd(containerd: Containerd): Record<string, string> {
  return { [CONTAINERD]: JSON.stringify(containerd) };
}

/** The artifacts of the last set-up, with another containerd if the environment names one. @throws BlazarError `DependencyMissing` if there was none */
export function artifacts(): Artifacts {
  const file = path.join(cacheDirectory(), MANIFEST);
  try {
    const made = JSON.parse(readFileSync(file, "utf8")) as Artifacts;
    const named = process.env[CONTAINERD];
    return named === undefined ? made : { ...made, containerd: JSON.parse(named) as Containerd };
  } catch (cause) {
    throw blazarError("DependencyMissing", "find what set-up builds", "there is no such manifest", {
      subject: file,
      remedy: "run: npm run setup",
      cause,
    });
  }
}

/** Builds whatever is missing or out of date and returns it all. Safe to run at the same time as another. */
export async function ensureArtifacts(progress: Progress = streamProgress()): Promise<Artifacts> {
  const directory = cacheDirectory();
  const waiting = (): void => progress.line("another set-up is at work on this cache: waiting for it");
  const started = performance.now();
  const built = await withLock(directory, waiting, () => build(new Cache(directory), progress));
  progress.line(`✓ set-up is complete (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  return built;
}

async function build(cache: Cache, progress: Progress): Promise<Artifacts> {
  await cache.sweep();
  const without = await perform(packagesStep(process.getuid?.() === 0), progress);
  if (without.length > 0)
    progress.line(`  without root: going on without ${without.join(", ")} (containerd's needs)`);
  const quickjs = await perform(quickJsStep(cache), progress);
  const kernel = await perform(kernelStep(cache), progress);
  const busybox = await perform(busyboxStep(cache), progress);
  const emptyExt4 = await perform(emptyExt4Step(cache), progress);
  const withoutImages =
    "containers' layers are served by file servers and not attached as disks, which is slower";
  const erofsUtils = await attempt(erofsUtilsStep(cache), progress, withoutImages);
  const withoutPasst = "pods with hostNetwork get no network";
  const passt = await attempt(passtStep(cache), progress, withoutPasst);
  const withoutContainerd = "nothing that goes through containerd works; blazar run does";
  const containerd = await attempt(containerdStep(cache), progress, withoutContainerd);
  const agent = await perform(programStep(cache, quickjs, "agent", "guest/agent/main.ts"), progress);
  const keeper = await perform(programStep(cache, quickjs, "keeper", "keeper/main.ts"), progress);
  const fileServer = await perform(programStep(cache, quickjs, "fileserver", "fileserver/main.ts"), progress);
  const withoutForks = "emulated VMs are cloned and not forked, which is slower";
  const forkLibrary = await attempt(forkLibraryStep(cache), progress, withoutForks);
  const initramfs = await perform(await initramfsStep(cache, { agent, kernel, busybox }), progress);
  const made: Artifacts = {
    cache: cache.directory,
    quickjs,
    agent: agent.binary,
    keeper: keeper.binary,
    fileServer: fileServer.binary,
    forkLibrary,
    vmlinux: kernel.vmlinux,
    modules: kernel.modules,
    initramfs,
    emptyExt4,
    erofsUtils,
    passt,
    busybox: { binary: busybox.binary, applets: busybox.applets },
    containerd,
  };
  await writeManifest(cache, made);
  return made;
}

async function writeManifest(cache: Cache, made: Artifacts): Promise<void> {
  const file = path.join(cache.directory, MANIFEST);
  const text = `${JSON.stringify(made, null, 2)}\n`;
  if ((await readFile(file, "utf8").catch(() => "")) === text) return;
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
}
