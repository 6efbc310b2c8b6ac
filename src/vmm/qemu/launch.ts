/**
 * How QEMU is launched: as a process of its own, for a VM that boots or is a clone, or as a fork of another VM's process.
 *
 * The steps and their undoing are those of every VMM (common/launch.ts); QEMU answers by its QMP greeting.
 */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { blazarError } from "../../contracts/errors.ts";
import type { FileSender } from "../../contracts/file-sender.ts";
import type { ProcessFork } from "../../contracts/keeper.ts";
import type { VmSpec } from "../../contracts/vm.ts";
import type { HostFacts } from "../common/confinement.ts";
import { type Launch, type LaunchSettings, launchVmm } from "../common/launch.ts";
import { checkSpec } from "../common/spec.ts";
import type { Accelerator } from "./accelerator.ts";
import { DISK } from "./command-line.ts";
import { forgetFileSet } from "./disks/file-sets.ts";
import { vmPaths } from "./paths.ts";
import { type Extra, type MemorySource, type QemuFilters, STATE, vmmProcess } from "./process.ts";
import { QmpClient } from "./qmp/client.ts";
import { restore } from "./templates/restore.ts";
import { QemuVm, type VmDeadlines } from "./vm.ts";

/** What QEMU can do at most. */
const LIMITS = { mostVcpus: 240 };

/** What all launches of a driver have in common. */
export interface Launcher extends Omit<LaunchSettings, "exitMs"> {
  readonly binary: string;
  /** Preloaded where QEMU has no filter of its own: it then never becomes another program. Undefined = it has one. */
  readonly filterLibrary: string | undefined;
  /** QEMU's, as `7.2.22`. */
  readonly version: string;
  readonly accelerator: Accelerator;
  readonly kernel: string;
  readonly initramfs: string;
  readonly facts: HostFacts;
  readonly calls: QemuFilters;
  readonly sendFile: FileSender;
  readonly deadlines: VmDeadlines;
}

/** A VM whose QEMU is started: one that boots, or a clone. */
export async function launchVm(
  launcher: Launcher,
  spec: VmSpec,
  signal?: AbortSignal,
  source: MemorySource = { kind: "own" },
  extra?: Extra,
): Promise<QemuVm> {
  checkSpec(spec, LIMITS);
  const paths = vmPaths(spec.directory);
  const process = vmmProcess({ ...launcher, spec, paths, source, extra }, launcher.facts);
  return launch(launcher, spec, signal, {
    make: () => launcher.keeper.spawn(process),
    run: async (qmp, step, abort, pid) => {
      if (launcher.filterLibrary !== undefined) await checkLoaded(pid, launcher.filterLibrary, spec.id);
      await Promise.all([
        // It answers, so it has loaded and opened all that it needs.
        process.jail === undefined ? undefined : launcher.keeper.seal(spec.id),
        source.kind === "own" || source.disk === undefined ? undefined : forgetFileSet(qmp, DISK),
        source.kind === "cloned" ? restore(qmp, STATE, step, abort) : undefined,
      ]);
    },
  });
}

/** ld.so passes over a library that it cannot preload (ld.so(8)), and the VMM would go on without its filter. */
async function checkLoaded(pid: number, library: string, id: string): Promise<void> {
  const maps = await readFile(`/proc/${pid}/maps`, "utf8");
  if (maps.includes(`/${basename(library)}\n`)) return;
  const reason = "the library with its filter of system calls was not loaded";
  throw blazarError("VmmFailed", "start the VMM", reason, {
    subject: id,
    remedy: `see that every user may read ${library}, and that its file system is not mounted with noexec`,
  });
}

/** A VM whose process is a fork of another VM's, which is paused. */
export async function forkVm(
  launcher: Launcher,
  spec: VmSpec,
  fork: ProcessFork,
  signal?: AbortSignal,
): Promise<QemuVm> {
  checkSpec(spec, LIMITS);
  return launch(launcher, spec, signal, {
    make: () => launcher.keeper.fork(fork),
    run: async (qmp, step) => {
      await qmp.execute("cont");
      step("running");
    },
  });
}

async function launch(
  launcher: Launcher,
  spec: VmSpec,
  signal: AbortSignal | undefined,
  how: Pick<Launch<QmpClient>, "make" | "run">,
): Promise<QemuVm> {
  const { deadlines, logger, accelerator } = launcher;
  const paths = vmPaths(spec.directory);
  const { process, control, nics, timeline } = await launchVmm(
    { ...launcher, exitMs: deadlines.exitMs },
    {
      ...how,
      id: spec.id,
      paths,
      connect: (abort) => QmpClient.connect(paths.control, abort, launcher.sendFile),
      broken: ["QmpFailed", "LinkClosed"],
    },
    signal,
  );
  const acceleration = accelerator.name;
  return new QemuVm({ process, qmp: control, paths, nics, acceleration, timeline, deadlines, logger });
}
