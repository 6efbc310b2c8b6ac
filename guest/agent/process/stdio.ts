/**
 * A process's standard streams: pipes or a terminal on its side, streams of the link on the other.
 *
 * Made before the fork, connected after it (a terminal when the child has made it), ended when the process has. A stream id of 0
 * is /dev/null.
 */
import * as sys from "sys";
import { check, checkValue } from "../../../native/runtime/check.ts";
import type { EventLoop } from "../../../native/runtime/event-loop.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { GuestStdio } from "../../../src/protocol/guest/messages.ts";
import type { Peer } from "../../../src/protocol/wire/peer.ts";
import { InputPump } from "./input-pump.ts";
import { OutputPump } from "./output-pump.ts";

/** How long the output of an ended container may take to end by itself, once all of it has been killed. */
const END_OF_OUTPUT_MS = 500;

export class ProcessStdio {
  private readonly loop: EventLoop;
  private readonly peer: Peer;
  private readonly streams: GuestStdio;
  private readonly terminal: boolean;
  /** What the child gets as 0, 1 and 2. With a terminal, /dev/null until it has opened one. */
  readonly childEnds: number[] = [];
  private readonly ownEnds: number[] = [];
  private input: InputPump | undefined;
  private outputs: OutputPump[] = [];
  /** The terminal's master, or -1. */
  private master = -1;

  constructor(loop: EventLoop, peer: Peer, streams: GuestStdio, terminal: boolean) {
    this.loop = loop;
    this.peer = peer;
    this.streams = streams;
    this.terminal = terminal;
  }

  /** Opens pipes. Throws; close what there is then. */
  open(): void {
    this.openEnd(this.streams.stdin, true);
    this.openEnd(this.streams.stdout, false);
    this.openEnd(this.streams.stderr, false);
  }

  /** After the fork: the child's ends are the child's alone. */
  closeChildEnds(): void {
    for (const fd of this.childEnds.splice(0)) sys.close(fd);
  }

  /** Starts to move bytes. `master` is the terminal's, or -1. */
  connect(master: number): void {
    if (this.terminal) this.connectTerminal(master);
    else this.connectPipes();
  }

  /** Sets the terminal's window. Throws InvalidArgument where there is none. */
  resize(rows: number, columns: number): void {
    if (this.master < 0) {
      throw blazarError("InvalidArgument", "resize a terminal", "the process has no terminal, or has ended");
    }
    check(sys.setWindowSize(this.master, rows, columns), "resize a terminal");
  }

  /**
   * The process has ended: hands over its output and ends the streams. `alone` says that nobody else can hold
   * the pipes' other ends for long, as when a whole container has been killed.
   */
  async finish(alone: boolean): Promise<void> {
    this.input?.stop();
    if (alone || this.terminal) {
      await Promise.all(this.outputs.map((output) => output.finishWithin(END_OF_OUTPUT_MS)));
    } else {
      for (const output of this.outputs) output.finishNow();
    }
    this.master = -1;
  }

  /** Forgets everything, streams included. */
  close(): void {
    this.closeChildEnds();
    for (const fd of this.ownEnds.splice(0)) if (fd >= 0) sys.close(fd);
    this.input?.close();
    for (const output of this.outputs) output.close();
    this.outputs = [];
    this.master = -1;
  }

  private openEnd(stream: number, input: boolean): void {
    if (stream === 0 || this.terminal) {
      this.childEnds.push(check(sys.open("/dev/null", sys.O_RDWR), "open", "/dev/null"));
      this.ownEnds.push(-1);
      return;
    }
    const [reader, writer] = checkValue(sys.pipe2(0), "make a pipe");
    const own = input ? writer : reader;
    this.childEnds.push(input ? reader : writer);
    this.ownEnds.push(own);
    check(sys.setNonblock(own, true), "make a pipe non-blocking");
  }

  private connectPipes(): void {
    const [stdin, stdout, stderr] = this.ownEnds.splice(0);
    if (stdin !== undefined && stdin >= 0) {
      this.input = new InputPump(this.loop, this.peer, stdin, this.streams.stdin);
    }
    const outputs = [
      [stdout, this.streams.stdout],
      [stderr, this.streams.stderr],
    ] as const;
    for (const [fd, stream] of outputs) {
      if (fd !== undefined && fd >= 0) {
        this.outputs.push(new OutputPump(this.loop, this.peer, fd, stream));
      }
    }
  }

  private connectTerminal(master: number): void {
    this.ownEnds.length = 0;
    this.master = master;
    check(sys.setNonblock(master, true), "make a terminal non-blocking");
    if (this.streams.stdin !== 0) {
      const input = check(sys.dup(master), "duplicate a terminal");
      this.input = new InputPump(this.loop, this.peer, input, this.streams.stdin);
    }
    // without a stream the master still has to be read, or the process blocks
    this.outputs.push(new OutputPump(this.loop, this.peer, master, this.streams.stdout));
  }
}
