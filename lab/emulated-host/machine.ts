/**
 * The process of an emulated host: QEMU with its sockets, until it is ended.
 *
 * The kernel ends it with this process (prctl(2), PR_SET_PDEATHSIG), whatever ends that one. Must leave no file behind.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { blazarError, reasonOf } from "../../src/contracts/errors.ts";
import {
  FIRST_STREAM_FD,
  type HostMachine,
  qemuArguments,
  STREAMS,
  type StreamName,
} from "./command-line.ts";
import { LastLines } from "./last-lines.ts";

const QEMU = "qemu-system-x86_64";
const SHOWN_LINES = 15;

export class EmulatedMachine {
  private readonly console = new LastLines();
  private readonly errors = new LastLines();
  /** Resolves when QEMU has ended, with how. */
  readonly ended: Promise<string>;

  private constructor(private readonly child: ChildProcess) {
    this.ended = new Promise((resolve) => {
      child.on("error", (error) => resolve(reasonOf(error)));
      child.on("close", (status, signal) => resolve(signal ?? `exit status ${status}`));
    });
    child.stderr?.on("data", (chunk: Buffer) => this.errors.add(chunk));
    this.stream("log").on("data", (chunk: Buffer) => this.console.add(chunk));
    // a machine that ends takes its sockets along
    for (const { name } of STREAMS) this.stream(name).on("error", () => undefined);
  }

  static start(machine: HostMachine): EmulatedMachine {
    const ends = ["--pdeathsig", "KILL", "--", QEMU, ...qemuArguments(machine)];
    const stdio = ["ignore", "ignore", "pipe", ...STREAMS.map(() => "pipe" as const)] as const;
    // a process group of its own: a terminal's Ctrl-C is for this process, which ends it
    return new EmulatedMachine(spawn("setpriv", ends, { stdio: [...stdio], detached: true }));
  }

  /** The machine's end of a stream. */
  stream(name: StreamName): Duplex {
    const index = STREAMS.findIndex((each) => each.name === name);
    return this.child.stdio[FIRST_STREAM_FD + index] as Duplex;
  }

  /** An error that says what QEMU and the emulated kernel said last. */
  failure(operation: string, reason: string, remedy: string) {
    const said = [...this.errors.last(SHOWN_LINES), ...this.console.last(SHOWN_LINES)];
    const words = said.length === 0 ? "it has said nothing" : ["its last words:", ...said].join("\n  | ");
    return blazarError("VmmFailed", operation, reason, { remedy: `${remedy}; ${words}` });
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill("SIGKILL");
    await once(this.child, "exit");
  }
}
