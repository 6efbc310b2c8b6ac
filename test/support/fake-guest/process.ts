/**
 * A process of the fake guest: its script instead of a program, its streams over the real protocol.
 *
 * It moves when the guest's scheduler runs, on a signal, or at a test's hand; never by a timer of its own. As in the
 * real agent, `exited` comes once, after the output has been handed over.
 */
import { SIGKILL } from "../../../src/lib/signals.ts";
import type { GuestProcess, GuestStdio } from "../../../src/protocol/guest/messages.ts";
import type { Peer } from "../../../src/protocol/wire/peer.ts";
import { StreamReceiver, StreamSender } from "../../../src/protocol/wire/stream.ts";

/** What a process does in place of its program. */
export interface ProcessScript {
  /** Written as soon as it starts. */
  readonly stdout?: string;
  readonly stderr?: string;
  /** Its exit status, right after that; undefined = runs until a signal, the end of input or the test ends it. */
  readonly exit?: number;
  /** Copies stdin to stdout. */
  readonly echo?: boolean;
  /** Exits with 0 at the end of stdin. */
  readonly untilEndOfInput?: boolean;
  /** Signals that it does not mind; SIGKILL always ends it. */
  readonly ignores?: readonly number[];
}

/** Signals whose default is not to end the process: SIGCHLD, SIGCONT, SIGURG, SIGWINCH. */
const HARMLESS: ReadonlySet<number> = new Set([17, 18, 23, 28]);
const SIGNAL_STATUS = 128;
const UNBOUNDED = Number.MAX_SAFE_INTEGER;

export interface FakeProcessOptions {
  readonly pid: number;
  readonly process: GuestProcess;
  readonly stdio: GuestStdio;
  readonly script: ProcessScript;
  readonly peer: Peer;
  readonly schedule: (callback: () => void) => void;
  readonly onExit: (status: number) => void;
}

export class FakeProcess {
  readonly pid: number;
  readonly process: GuestProcess;
  /** Every signal it was sent. */
  readonly signals: number[] = [];
  /** Everything that has come to its stdin. */
  readonly input: Uint8Array[] = [];
  size: { rows: number; columns: number };
  state: "created" | "running" | "exited" = "created";
  status: number | undefined;
  /** Its streams' numbers. */
  readonly stdio: GuestStdio;
  private readonly outputs = new Map<"stdout" | "stderr", StreamSender>();

  constructor(private readonly options: FakeProcessOptions) {
    const { pid, process, stdio } = options;
    this.pid = pid;
    this.process = process;
    this.stdio = stdio;
    this.size = { rows: process.rows, columns: process.columns };
    if (stdio.stdout !== 0) this.openOutput("stdout", stdio.stdout);
    if (stdio.stderr !== 0 && !process.terminal) this.openOutput("stderr", stdio.stderr);
    if (stdio.stdin !== 0) this.openInput(stdio.stdin);
  }

  start(): void {
    this.state = "running";
    const { script, schedule } = this.options;
    schedule(() => {
      if (this.state !== "running") return;
      if (script.stdout !== undefined) this.write("stdout", script.stdout);
      if (script.stderr !== undefined) this.write("stderr", script.stderr);
      const { exit } = script;
      if (exit !== undefined) schedule(() => this.exit(exit));
    });
  }

  /** Output, by the script or by the test. With a terminal all of it is stdout. */
  write(stream: "stdout" | "stderr", bytes: string | Uint8Array): void {
    if (this.state === "exited") return;
    const name = this.process.terminal ? "stdout" : stream;
    this.outputs.get(name)?.write(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes);
  }

  /** False if it has ended. */
  signal(signal: number): boolean {
    if (this.state === "exited") return false;
    this.signals.push(signal);
    const { script, schedule } = this.options;
    const minds = signal === SIGKILL || !(HARMLESS.has(signal) || script.ignores?.includes(signal) === true);
    if (minds) schedule(() => this.exit(SIGNAL_STATUS + signal));
    return true;
  }

  exit(status: number): void {
    if (this.state === "exited") return;
    this.state = "exited";
    this.status = status;
    for (const sender of this.outputs.values()) sender.finish();
    this.options.onExit(status);
  }

  /** Forgets its streams. */
  close(): void {
    for (const stream of Object.values(this.options.stdio))
      if (stream !== 0) this.options.peer.closeStream(stream);
  }

  private openOutput(name: "stdout" | "stderr", stream: number): void {
    const { peer } = this.options;
    const sender = new StreamSender({
      stream,
      send: (frame) => peer.send(frame),
      onFinished: () => peer.closeStream(stream),
      capacity: UNBOUNDED,
    });
    this.outputs.set(name, sender);
    peer.openStream(stream, {
      acknowledged: (offset, window) => sender.acknowledged(offset, window),
      detached: () => sender.detached(),
    });
  }

  private openInput(stream: number): void {
    const { peer, script, schedule } = this.options;
    const receiver: StreamReceiver = new StreamReceiver({
      stream,
      send: (frame) => peer.send(frame),
      onData: (bytes) => {
        this.input.push(bytes.slice());
        if (script.echo === true) this.write("stdout", bytes);
        receiver.consumed(bytes.length);
      },
      onEnd: () => {
        receiver.consumedEnd();
        if (script.untilEndOfInput === true) schedule(() => this.exit(0));
      },
    });
    peer.openStream(stream, {
      data: (offset, bytes) => receiver.data(offset, bytes),
      end: (offset) => receiver.end(offset),
      attached: () => receiver.attached(),
    });
  }
}
