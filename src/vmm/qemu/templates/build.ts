/**
 * Makes a template: boots a VM whose memory is a file, lets it get ready, saves its devices and ends it.
 *
 * What the VM needs besides the template's files lies in a short private directory, because of the length of unix
 * sockets' paths. It takes part in nothing: its share is empty, nobody else speaks to it.
 */
import { chmod, chown, mkdir, mkdtemp, open, readFile, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { BlazarError } from "../../../contracts/errors.ts";
import type { LayerImages } from "../../../contracts/storage.ts";
import type { Vm, VmDisk, VmShape, VmSpec } from "../../../contracts/vm.ts";
import type { TemplateIdentity } from "../../../contracts/vmm.ts";
import {
  hashMemory,
  removeTemplateFiles,
  sha256,
  templatePaths,
  unfinished,
  writeManifest,
} from "../../common/template-files.ts";
import { memoryFileBytes } from "../command-line.ts";
import { type Launcher, launchVm } from "../launch.ts";
import type { QemuVm } from "../vm.ts";
import { TEMPLATE_DISK } from "./identity.ts";
import { saveState } from "./state.ts";

/** A guest that was spoken to notices that its host is gone, and finishes what its kernel has put off. */
const SETTLE_MS = 200;

export interface BuildStep {
  readonly step: string;
  readonly ms: number;
}

export interface BuildOptions {
  readonly launcher: Launcher;
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

export async function buildTemplate(options: BuildOptions): Promise<BuildStep[]> {
  const scratch = await mkdtemp(join(tmpdir(), "blazar-template-"));
  try {
    return await build(options, scratch);
  } catch (error) {
    await removeTemplateFiles(options.directory);
    if (!options.signal.aborted) throw error;
    const details = {
      operation: "build a template",
      subject: options.directory,
      reason: "it was called off",
    };
    throw new BlazarError("Cancelled", { ...details, cause: error });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function build(options: BuildOptions, scratch: string): Promise<BuildStep[]> {
  const { directory, signal } = options;
  const { memory, state } = templatePaths(directory);
  const watch = stopwatch();
  const vm = await boot(options, scratch);
  try {
    watch.step("VMM answers");
    await options.ready(vm, signal);
    watch.step("guest ready");
    await delay(SETTLE_MS, undefined, { signal });
    const admit = (socket: string): Promise<void> => give(socket, options.user);
    const saving = { socket: join(scratch, "state.sock"), admit, file: unfinished(state), signal };
    await vm.control("save the VM", (qmp) => saveState(qmp, saving));
    watch.step("saved");
  } finally {
    await vm.kill();
  }
  await rename(unfinished(state), state);
  await packDisk(options);
  // a clone's QEMU, which runs under any user, opens it again by a descriptor
  await chmod(memory, 0o444);
  await describe(options);
  watch.step("checked");
  return watch.steps;
}

async function boot(options: BuildOptions, scratch: string): Promise<QemuVm> {
  const { launcher, shape, user, directory, signal } = options;
  const { memory } = templatePaths(directory);
  const shareDirectory = join(scratch, "share");
  await mkdir(shareDirectory);
  await give(scratch, user);
  const file = await open(memory, "wx", 0o600);
  try {
    await file.truncate(memoryFileBytes(shape.memoryBytes));
  } finally {
    await file.close();
  }
  await give(memory, user);
  const disk = await makeDisk(options);
  const { vcpus, memoryBytes } = shape;
  const id = basename(scratch);
  const source = { kind: "boot" } as const;
  const spec = { id, directory: scratch, vcpus, memoryBytes, shareDirectory, user, cgroups: [], source };
  return launchVm(launcher, spec, signal, { kind: "saved", memory, disk });
}

async function makeDisk({ images, directory, user }: BuildOptions): Promise<VmDisk | undefined> {
  if (images === undefined) return undefined;
  const { image } = templatePaths(directory);
  await images.make(image, user);
  return { id: TEMPLATE_DISK, path: image, readonly: false };
}

/** Of the image of many gigabytes only what is in it is kept. */
async function packDisk({ images, directory }: BuildOptions): Promise<void> {
  if (images === undefined) return;
  const { image, disk } = templatePaths(directory);
  await images.pack(image, disk);
  await rm(image);
}

async function describe({ directory, identity, shape, images }: BuildOptions): Promise<void> {
  const { memory, state, disk } = templatePaths(directory);
  const [memoryStat, bytes] = await Promise.all([stat(memory), readFile(state)]);
  await writeManifest(directory, {
    identity,
    vcpus: shape.vcpus,
    memoryBytes: shape.memoryBytes,
    allocatedBytes: memoryStat.blocks * 512,
    stateBytes: bytes.length,
    stateSha256: sha256(bytes),
    memorySha256: await hashMemory(memory),
    diskSha256: images === undefined ? undefined : sha256(await readFile(disk)),
    created: Date.now(),
  });
}

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
