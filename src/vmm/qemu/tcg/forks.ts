/**
 * VMs that are forks of another VM's process (native/fork/vmm-fork.c), which has translated what they are going to run.
 *
 * An original is a clone that was launched with the library preloaded, and is then paused for good. A fork has another
 * user, other sockets, another log and disk; QEMU goes on with the same descriptors, which now mean the fork's.
 * Only emulated guests can be forked: a descriptor of KVM's belongs to one process.
 */
import { constants } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { basename } from "node:path";
import { BlazarError, blazarError } from "../../../contracts/errors.ts";
import type { Jail, ProcessFork } from "../../../contracts/keeper.ts";
import type { LayerImages } from "../../../contracts/storage.ts";
import { isSameShape, type Vm, type VmSource, type VmSpec } from "../../../contracts/vm.ts";
import type { VmForks } from "../../../contracts/vm-forks.ts";
import { pause, throwIfAborted } from "../../../lib/async.ts";
import { logFiles } from "../../common/confinement.ts";
import { SETTLE_MS } from "../../common/templates/build.ts";
import { tapDescriptors } from "../command-line.ts";
import { forkVm, type Launcher } from "../launch.ts";
import { vmPaths } from "../paths.ts";
import { type Extra, FIRST_EXTRA, preload, sockets } from "../process.ts";
import type { Clone, QemuTemplates } from "../templates/driver.ts";

/** By which an original is asked to fork. */
const FORK_CONTROL = FIRST_EXTRA;

export interface TcgForksOptions {
  /** Absolute path of what is preloaded into an original. */
  readonly library: string;
  /** Those that a fork may become. */
  readonly users: NonNullable<Jail["forks"]>;
  readonly images: LayerImages | undefined;
  readonly prepared: (signal?: AbortSignal) => Promise<Launcher>;
  readonly templates: Pick<QemuTemplates, "clone">;
}

/** A clone that can become an original. */
interface Launched extends Clone {
  readonly spec: VmSpec;
}

interface Original extends Launched {
  /** The files that its QEMU has open and a fork has others for, as native/fork tells them: `DEVICE:INODE`. */
  readonly files: {
    readonly log: string;
    readonly disk: string | undefined;
  };
  /** What was on its disk when it was paused. */
  readonly packedDisk: string;
}

type ForkSource = VmSource & { readonly kind: "fork" };

export class TcgForks implements VmForks {
  private readonly launched = new WeakMap<Vm, Launched>();
  /** By id; those that live. */
  private readonly originals = new Map<string, Original>();

  constructor(private readonly options: TcgForksOptions) {}

  async possible(signal?: AbortSignal): Promise<boolean> {
    return (await this.options.prepared(signal)).accelerator.name === "tcg";
  }

  async launchOriginal(spec: VmSpec, signal?: AbortSignal): Promise<Vm> {
    if (spec.source.kind !== "clone") throw invalid("launch an original", spec.id, "it is no clone");
    if (!(await this.possible(signal))) {
      const reason = "only emulated guests can be forked";
      throw blazarError("Unimplemented", "launch an original", reason, { subject: spec.id });
    }
    const clone = await this.options.templates.clone(spec, spec.source, signal, this.preload());
    this.launched.set(clone.vm, { ...clone, spec });
    return clone.vm;
  }

  async completeOriginal(vm: Vm, signal: AbortSignal): Promise<void> {
    const how = this.launched.get(vm);
    if (how === undefined) throw invalid("complete an original", vm.id, "it was not launched for that");
    const { disk, spec } = how;
    await pause(SETTLE_MS, signal);
    throwIfAborted(signal, { operation: "complete an original", subject: vm.id });
    // From now on neither its memory nor its disk change.
    await vm.pause();
    const { packedDisk, log: logFile } = vmPaths(spec.directory);
    if (disk !== undefined) await this.options.images?.pack(disk.path, packedDisk);
    const [log, image] = await Promise.all([fileKey(logFile), disk && fileKey(disk.path)]);
    this.originals.set(vm.id, { ...how, packedDisk, files: { log, disk: image } });
    void vm.exited.then(() => {
      if (this.originals.get(vm.id)?.vm === vm) this.originals.delete(vm.id);
    });
  }

  /** Launches a VM as a fork. Throws VmNotFound, and what a launch throws. */
  async launch(spec: VmSpec, source: ForkSource, signal?: AbortSignal): Promise<Vm> {
    const original = this.originals.get(source.original);
    if (original === undefined) throw notFound(spec, source);
    check(spec, source, original);
    throwIfAborted(signal, { operation: "fork a VM", subject: spec.id });
    try {
      return await this.fork(original, spec, source, signal);
    } catch (error) {
      const ended = this.originals.get(source.original) !== original && signal?.aborted !== true;
      throw ended || saysGone(error) ? notFound(spec, source, error) : error;
    }
  }

  private async fork(
    original: Original,
    spec: VmSpec,
    source: ForkSource,
    signal: AbortSignal | undefined,
  ): Promise<Vm> {
    const { disk } = source;
    if (original.files.disk !== undefined && disk !== undefined)
      await this.options.images?.unpack(original.packedDisk, disk, spec.user);
    try {
      return await forkVm(original.launcher, spec, request(original, spec, source), signal);
    } catch (error) {
      if (disk !== undefined) await rm(disk, { force: true });
      throw error;
    }
  }

  private preload(): Extra {
    const { env, files } = preload(this.options.library);
    return {
      env: [...env, `BLAZAR_FORK_FD=${FORK_CONTROL}`],
      files,
      // Each fork becomes a user of its own, in a jail of its own. They are good for nothing outside of the user namespace.
      capabilities: ["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_SYS_ADMIN"],
      forks: this.options.users,
      forkControl: FORK_CONTROL,
    };
  }
}

/** What a fork must have because its original has it. */
function check(spec: VmSpec, source: ForkSource, { spec: original, files }: Original): void {
  const refuse = (reason: string): BlazarError => invalid("fork a VM", spec.id, reason);
  if (!isSameShape(spec, original)) throw refuse(`${original.id} has another shape`);
  if (files.disk !== undefined && source.disk === undefined)
    throw refuse(`it has no place for its disk, and ${original.id} has one`);
}

/** What the library is told, in the order of native/fork/vmm-fork.c, and what is handed over in the place of its keys. */
function request({ files }: Original, spec: VmSpec, source: ForkSource): ProcessFork {
  const { id, user, directory } = spec;
  const paths = vmPaths(directory);
  const [log] = logFiles(paths.log);
  const given = [{ key: files.log, file: log }];
  if (files.disk !== undefined && source.disk !== undefined)
    given.push({ key: files.disk, file: { fd: 0, path: source.disk, flags: constants.O_RDWR, mode: 0 } });
  const listening = sockets(paths);
  return {
    id,
    original: source.original,
    words: [
      ...[user?.uid ?? "", user?.gid ?? ""].map(String),
      // no capability
      ...["0", id, user === undefined ? "" : "jail"],
      ...given.map(({ key }) => key),
      ...listening.map(({ path }) => `socket:${basename(path)}`),
      ...tapDescriptors(spec.nics).map((fd) => `tap:${fd}`),
    ],
    files: given.map(({ file: { path, flags, mode } }) => ({ path, flags, mode })),
    sockets: listening.map(({ path, mode }) => ({ path, mode })),
    taps: spec.nics,
  };
}

async function fileKey(path: string): Promise<string> {
  const { dev, ino } = await stat(path, { bigint: true });
  return `${dev}:${ino}`;
}

/** The keeper says this of the process that is to be forked, and of no other. */
function saysGone(error: unknown): boolean {
  return error instanceof BlazarError && ["ProcessNotFound", "ProcessNotRunning"].includes(error.code);
}

function notFound({ id }: VmSpec, { original }: ForkSource, cause?: unknown): BlazarError {
  const reason = `there is no original ${original} any more`;
  return blazarError("VmNotFound", "fork a VM", reason, { subject: id, cause });
}

function invalid(operation: string, subject: string, reason: string): BlazarError {
  return blazarError("InvalidArgument", operation, reason, { subject });
}
