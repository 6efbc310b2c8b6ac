/**
 * `npm run lab -- host`: boots an emulated host, runs a command in it, and takes it away.
 *
 * The command's streams and exit code are this process's own. A signal to this process ends the machine.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { constants } from "node:os";
import { cacheDirectory, repoRoot } from "../../setup/lib/paths.ts";
import { blazarError } from "../../src/contracts/errors.ts";
import { withDeadline } from "../../src/lib/async.ts";
import type { HostRequest } from "./arguments.ts";
import type { HostMachine } from "./command-line.ts";
import { EndedStream } from "./ended-stream.ts";
import { jobText, type Window } from "./job.ts";
import type { HostKernel } from "./kernel.ts";
import { EmulatedMachine } from "./machine.ts";
import { type Told, told } from "./told.ts";

/** What is booted. */
export interface HostParts {
  readonly kernel: HostKernel;
  readonly initramfs: string;
  /** Of the systemd host. */
  readonly image: string | undefined;
  /** Node's program of the machine; undefined: the emulated host has its own. */
  readonly node: string | undefined;
  readonly tscKhz: number | undefined;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const SIGNAL_EXIT = 128;
/** Output may still be on its way when the command has ended. */
const OUTPUT_MS = 10_000;
const DEFAULT_ROWS = 24;
const DEFAULT_COLUMNS = 80;
/** Bytes of the word that streams end with. */
const END_BYTES = 16;
const BOOT = "boot an emulated host";

/** Runs the command; the returned number is the exit code. */
export async function runInHost(request: HostRequest, parts: HostParts): Promise<number> {
  const { memoryBytes, cpus, output } = request;
  const { vmlinux } = parts.kernel;
  const { initramfs, image, tscKhz } = parts;
  const spec: HostMachine = { ...{ vmlinux, initramfs, memoryBytes, cpus, image, output, tscKhz } };
  const machine = EmulatedMachine.start(spec);
  const signal = firstSignal();
  try {
    return await Promise.race([signal.came, converse(machine, request, parts)]);
  } finally {
    signal.forget();
    await machine.end();
  }
}

async function converse(machine: EmulatedMachine, request: HostRequest, parts: HostParts): Promise<number> {
  const window = windowOf(process);
  const end = randomBytes(END_BYTES).toString("hex");
  if (request.verbose) machine.stream("log").pipe(process.stderr, { end: false });
  const streams = window === undefined ? pipes(machine, end) : terminal(machine, end);
  const hears = told(machine.stream("control"));
  machine.stream("job").end(
    jobText({
      ...{ request, window, end, kernel: parts.kernel, node: parts.node, environment: process.env },
      ...{ checkout: repoRoot(), cache: cacheDirectory(), directory: process.cwd() },
    }),
  );
  try {
    await up(machine, hears, request.bootMs);
    streams.open();
    const status = await untilEnd(machine, hears);
    const late = () =>
      blazarError(
        "DeadlineExceeded",
        "hear all output of the command",
        `some is missing after ${OUTPUT_MS} ms`,
      );
    await withDeadline(streams.ended, OUTPUT_MS, late);
    return status;
  } finally {
    streams.close();
  }
}

async function up(machine: EmulatedMachine, hears: Told, bootMs: number): Promise<void> {
  const what = "see what it says with --verbose";
  const late = () =>
    machine.failure(BOOT, `it was not up after ${bootMs / 1000} s`, "give it --boot-deadline");
  const died = machine.ended.then((how) => {
    throw machine.failure(BOOT, `QEMU has ended: ${how}`, what);
  });
  await withDeadline(Promise.race([hears.up, died]), bootMs, late);
}

async function untilEnd(machine: EmulatedMachine, hears: Told): Promise<number> {
  const died = machine.ended.then((how) => {
    throw machine.failure(
      "run the command",
      `the emulated host has ended under it: ${how}`,
      "see its console",
    );
  });
  return await Promise.race([hears.exit, died]);
}

/** What carries the command's streams. */
interface Streams {
  /** The command runs: input may go to it. */
  open(): void;
  readonly ended: Promise<unknown>;
  close(): void;
}

function pipes(machine: EmulatedMachine, end: string): Streams {
  const out = relay(machine, "stdout", end, process.stdout);
  const err = relay(machine, "stderr", end, process.stderr);
  return {
    ended: Promise.all([out, err]),
    open: () => void process.stdin.pipe(machine.stream("stdin")),
    close: () => process.stdin.destroy(),
  };
}

function terminal(machine: EmulatedMachine, end: string): Streams {
  const { stdin, stdout } = process;
  const resized = () => {
    const { rows, columns } = windowOf(process) ?? { rows: DEFAULT_ROWS, columns: DEFAULT_COLUMNS };
    machine.stream("control").write(`size ${rows} ${columns}\n`);
  };
  return {
    ended: relay(machine, "terminal", end, stdout),
    open() {
      stdin.setRawMode(true);
      stdin.pipe(machine.stream("terminal"));
      stdout.on("resize", resized);
      // it may have changed meanwhile
      resized();
    },
    close() {
      stdout.off("resize", resized);
      stdin.setRawMode(false);
      stdin.destroy();
    },
  };
}

function relay(
  machine: EmulatedMachine,
  name: "stdout" | "stderr" | "terminal",
  end: string,
  to: NodeJS.WritableStream,
): Promise<unknown> {
  const output = new EndedStream(end);
  // a reader that has gone, as of `| head`, is no failure of the command
  to.on("error", () => output.resume());
  machine.stream(name).pipe(output).pipe(to, { end: false });
  return once(output, "end");
}

function windowOf({ stdin, stdout }: NodeJS.Process): Window | undefined {
  if (!stdin.isTTY || !stdout.isTTY) return undefined;
  // a terminal that nobody has told its size says 0
  return { rows: stdout.rows || DEFAULT_ROWS, columns: stdout.columns || DEFAULT_COLUMNS };
}

/** A signal to this process; its number, as a shell tells it. */
function firstSignal() {
  const listeners: (() => void)[] = [];
  const came = new Promise<number>((resolve) => {
    for (const name of SIGNALS) {
      const listener = () => resolve(SIGNAL_EXIT + constants.signals[name]);
      process.on(name, listener);
      listeners.push(() => process.off(name, listener));
    }
  });
  const forget = () => {
    for (const each of listeners) each();
  };
  return { came, forget };
}
