/**
 * `blazar run` as a child process, in a temporary directory of its own, so that whatever it leaves can be found.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, cp, readdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { killProcessesOf, processesOf } from "../../../lab/host/processes.ts";
import { until } from "../../../lab/host/until.ts";
import { copyEmptyImage } from "../../../src/workers/images/disk-image.ts";
import { temporaryDirectory } from "../temporary-directory.ts";
import { blazarProgram, built } from "./program.ts";

/** How a run ended. A run that a signal killed has that signal and no code. */
export interface RunResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A run under way. */
export interface Running {
  readonly child: ChildProcessWithoutNullStreams;
  readonly result: Promise<RunResult>;
  /** The run's TMPDIR: everything that it makes is in there. */
  readonly directory: string;
  /** Waits until stdout has this text. */
  stdoutHas(text: string): Promise<void>;
  /** Processes and files that are there because of the run. */
  remains(): Promise<string[]>;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** A command that the program is an argument of: `["setpriv", …]`. */
  readonly under?: readonly string[];
  /** The whole command, instead of `blazar run` with the arguments. */
  readonly words?: readonly string[];
  readonly program?: string;
  /** The owner of the temporary directory. */
  readonly uid?: number;
  /** The temporary directory, if it is not to be one of this run alone. */
  readonly directory?: string;
}

/** Starts `blazar run` with these arguments; ended, should it still run, when the test is over. */
export async function startRun(args: readonly string[], options: RunOptions = {}): Promise<Running> {
  const directory = options.directory ?? (await temporaryDirectory());
  if (options.uid !== undefined) await chown(directory, options.uid, options.uid);
  const words = options.words ?? [
    ...(options.under ?? []),
    process.execPath,
    options.program ?? blazarProgram(),
    "run",
    ...args,
  ];
  const child = spawn(words[0] ?? "", words.slice(1), {
    env: { ...process.env, TMPDIR: directory, ...options.env },
  });
  const remains = async () => [
    ...(await processesOf([directory])).map(({ pid, command }) => `process ${pid}: ${command}`),
    ...(await readdir(directory)).map((name) => `file ${name}`),
  ];
  const text = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text.stdout += part;
  });
  child.stderr.setEncoding("utf8").on("data", (part: string) => {
    text.stderr += part;
  });
  // a command that has ended before it has read its input is not the test's failure
  child.stdin.on("error", () => undefined);
  const result = once(child, "close").then(([code, signal]) => ({ code, signal, ...text }) as RunResult);
  onTestFinished(async () => {
    child.kill("SIGTERM");
    await result;
    await killProcessesOf(directory);
  });
  const stdoutHas = async (wanted: string) => {
    let ended = false;
    result.then(
      () => {
        ended = true;
      },
      () => undefined,
    );
    await until(`"${wanted}" in the output (stderr: ${text.stderr})`, async () => {
      if (ended && !text.stdout.includes(wanted))
        throw new Error(`ended without "${wanted}": ${text.stderr}`);
      return text.stdout.includes(wanted) ? true : undefined;
    });
  };
  return { child, result, directory, stdoutHas, remains };
}

/** Runs to the end, with this as standard input. */
export async function runBlazar(
  args: readonly string[],
  options: RunOptions & { readonly input?: string | Uint8Array } = {},
): Promise<RunResult & { remains: string[] }> {
  const running = await startRun(args, options);
  running.child.stdin.end(options.input ?? "");
  const result = await running.result;
  return { ...result, remains: await running.remains() };
}

/** A user without any right. */
export const NOBODY = 65_534;

/** The start of a command line that runs the rest as {@link NOBODY}; only root can. */
export function asNobody(): string[] {
  const ids = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
  return ["setpriv", ...ids, "--inh-caps=-all", "--bounding-set=-all"];
}

/** A copy of the program and its parts where every user may read it; returns the program and its cache. */
export async function installForEverybody(): Promise<{ program: string; cache: string }> {
  const directory = await temporaryDirectory();
  await chmod(directory, 0o755);
  const program = join(directory, "dist", "blazar.mjs");
  await cp(dirname(blazarProgram()), dirname(program), { recursive: true });
  // what is not in the bundles: native code, and what starts its own worker file
  for (const name of ["koffi", "@koromix", "piscina"]) {
    const from = join(dirname(blazarProgram()), "..", "node_modules", name);
    await cp(from, join(directory, "node_modules", name), { recursive: true });
  }
  const { keeper, fileServer, vmlinux, initramfs, emptyExt4, busybox } = built();
  const copy = async (file: string): Promise<string> => {
    const target = join(directory, basename(file));
    await cp(file, target);
    return target;
  };
  const manifest = {
    cache: directory,
    keeper: await copy(keeper),
    fileServer: await copy(fileServer),
    vmlinux: await copy(vmlinux),
    initramfs: await copy(initramfs),
    // a plain copy would fill the holes of a sparse file of 16 GB
    emptyExt4: await shrink(directory, emptyExt4),
    busybox: { binary: await copy(busybox.binary), applets: await copy(busybox.applets) },
    containerd: null,
  };
  await writeFile(join(directory, "current.json"), JSON.stringify(manifest));
  return { program, cache: directory };
}

/** The empty layer again, by its extents. */
async function shrink(
  directory: string,
  { image, extents }: { readonly image: string; readonly extents: string },
): Promise<{ image: string; extents: string }> {
  const copy = { image: join(directory, "empty.ext4"), extents: join(directory, "extents.json") };
  copyEmptyImage({ image, extents }, copy.image, undefined);
  await chmod(copy.image, 0o644);
  await cp(extents, copy.extents);
  return copy;
}
