/**
 * Makes a template: boots a VM whose memory is a file, lets it get ready, saves its devices and ends it.
 *
 * How a VM is booted and saved is the driver's. What it needs beside the template's files lies in a private directory with
 * a short name, because the paths of unix sockets are limited. Nobody else speaks to it.
 */
import { chmod, chown, mkdtemp, open, readFile, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { blazarError } from "../../../contracts/errors.ts";
import type { LayerImages } from "../../../contracts/storage.ts";
import type { BuildStep } from "../../../contracts/templates.ts";
import type { Vm, VmDisk, VmShape, VmSpec } from "../../../contracts/vm.ts";
import type { TemplateIdentity } from "../../../contracts/vmm.ts";
import { pause, throwIfAborted } from "../../../lib/async.ts";
import { memoryFileBytes } from "../spec.ts";
import { TEMPLATE_DISK } from "./clones.ts";
import { hashMemory, removeTemplateFiles, templatePaths, unfinished, writeManifest } from "./files.ts";
import { sha256 } from "./fingerprints.ts";

/** A guest that was spoken to notices that its host is gone, and finishes what its kernel has put off. */
export const SETTLE_MS = 200;
/** Unit of `blocks` in stat(2). */
const BLOCK_BYTES = 512;

/** What is to be built. */
export interface TemplateBuild {
  readonly identity: TemplateIdentity;
  readonly shape: VmShape;
  readonly directory: string;
  /** Whom the VM runs as. */
  readonly user: VmSpec["user"];
  /** Undefined = the VM has no disk. */
  readonly images: LayerImages | undefined;
  readonly ready: (vm: Vm, signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
}

/** A driver's part. */
export interface TemplateBuilder<V extends Vm> {
  /** Boots a VM with its memory in a file, which exists and belongs to the VM's user, and with this disk. */
  boot(spec: VmSpec, memory: string, disk: VmDisk | undefined): Promise<V>;
  /** Pauses the VM and writes its devices' state to a new file. */
  save(vm: V, file: string): Promise<void>;
}

/** Resolves with the steps and how long each took. Rejects with Cancelled at the abort. */
export async function buildTemplate<V extends Vm>(
  build: TemplateBuild,
  builder: TemplateBuilder<V>,
): Promise<BuildStep[]> {
  const { directory, signal } = build;
  const scratch = await mkdtemp(join(tmpdir(), "blazar-template-"));
  try {
    return await buildSteps(build, builder, scratch);
  } catch (error) {
    await removeTemplateFiles(directory);
    if (!signal.aborted) throw error;
    const about = { subject: directory, cause: error };
    throw blazarError("Cancelled", "build a template", "it was called off", about);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function buildSteps<V extends Vm>(
  build: TemplateBuild,
  builder: TemplateBuilder<V>,
  scratch: string,
): Promise<BuildStep[]> {
  const { directory, signal } = build;
  const { memory, state } = templatePaths(directory);
  const watch = stopwatch();
  const vm = await boot(build, builder, scratch);
  try {
    watch.step("VMM answers");
    await build.ready(vm, signal);
    watch.step("guest ready");
    await pause(SETTLE_MS, signal);
    throwIfAborted(signal, { operation: "build a template" });
    await builder.save(vm, unfinished(state));
    watch.step("saved");
  } finally {
    await vm.kill();
  }
  await rename(unfinished(state), state);
  await packDisk(build);
  // A clone's VMM, which runs under any user, opens it again by a descriptor.
  await chmod(memory, 0o444);
  await describe(build);
  watch.step("checked");
  return watch.steps;
}

async function boot<V extends Vm>(
  build: TemplateBuild,
  builder: TemplateBuilder<V>,
  scratch: string,
): Promise<V> {
  const { shape, user, directory } = build;
  const { memory } = templatePaths(directory);
  await give(scratch, user);
  const file = await open(memory, "wx", 0o600);
  try {
    await file.truncate(memoryFileBytes(shape.memoryBytes));
  } finally {
    await file.close();
  }
  await give(memory, user);
  const disk = await makeDisk(build);
  const { vcpus, memoryBytes, nics } = shape;
  const place = { id: basename(scratch), directory: scratch };
  const source = { kind: "boot" } as const;
  return builder.boot({ ...place, vcpus, memoryBytes, nics, user, cgroups: [], source }, memory, disk);
}

async function makeDisk({ images, directory, user }: TemplateBuild): Promise<VmDisk | undefined> {
  if (images === undefined) return undefined;
  const { image } = templatePaths(directory);
  await images.make(image, user);
  return { id: TEMPLATE_DISK, path: image, readonly: false };
}

/** Of an image of many gigabytes only what is in it is kept. */
async function packDisk({ images, directory }: TemplateBuild): Promise<void> {
  if (images === undefined) return;
  const { image, disk } = templatePaths(directory);
  await images.pack(image, disk);
  await rm(image);
}

async function describe({ directory, identity, shape, images }: TemplateBuild): Promise<void> {
  const { memory, state, disk } = templatePaths(directory);
  const [memoryStat, bytes] = await Promise.all([stat(memory), readFile(state)]);
  await writeManifest(directory, {
    identity,
    vcpus: shape.vcpus,
    memoryBytes: shape.memoryBytes,
    nics: shape.nics,
    allocatedBytes: memoryStat.blocks * BLOCK_BYTES,
    stateBytes: bytes.length,
    stateSha256: sha256(bytes),
    memorySha256: await hashMemory(memory),
    diskSha256: images === undefined ? undefined : sha256(await readFile(disk)),
    created: Date.now(),
  });
}

/** To the user that a VM runs as. */
async function give(path: string, user: VmSpec["user"]): Promise<void> {
  if (user !== undefined) await chown(path, user.uid, user.gid);
}

function stopwatch(): { readonly steps: BuildStep[]; step(name: string): void } {
  const steps: BuildStep[] = [];
  let last = performance.now();
  const step = (name: string): void => {
    const now = performance.now();
    steps.push({ step: name, ms: now - last });
    last = now;
  };
  return { steps, step };
}
