/**
 * A process's standard streams: pipes or a terminal on the process's side, streams of the link on the other.
 *
 * They are opened before the child is made and connected afterwards; a terminal once the child has made it. They end when
 * the process has ended. Stream id 0 stands for /dev/null.
 */
import * as sys from "sys";
import { check, checkValue } from "../../../native/runtime/check.ts";
import type { EventLoop } from "../../../native/runtime/event-loop.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { GuestStdio } from "../../../src/protocol/guest/messages.ts";
import type { Peer } from "../../../src/protocol/wire/peer.ts";
import { InputPump } from "./input-pump.ts";
import { OutputPump } from "./output-pump.ts";

/** How long the output may take to end by itself, once all processes of the container have been killed. */
const END_OF_OUTPUT_MS = 500;

export class ProcessStdio {
  private readonly loop: EventLoop;
  private readonly peer: Peer;
  readonly streams: GuestStdio;
  private readonly terminal: boolean;
  /** The child's descriptors 0, 1 and 2. With a terminal they are /dev/null until the child has opened it. */
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

  /** Opens the pipes. If it throws, the caller calls {@link close}. */
  open(): void {
    this.openEnd(this.streams.stdin, true);
    this.openEnd(this.streams.stdout, false);
    this.openEnd(this.streams.stderr, false);
  }

  /** Closes the agent's copies of the child's ends, once the child has its own. */
  closeChildEnds(): void {
    for (const fd of this.childEnds.splice(0)) sys.close(fd);
  }

  /** Starts to move bytes. `master` is the terminal's master, or -1. */
  connect(master: number): void {
    if (this.terminal) this.connectTerminal(master);
    else this.connectPipes();
  }

  /** Sets the size of the terminal's window. Throws InvalidArgument if there is no terminal. */
  resize(rows: number, columns: number): void {
    if (this.master < 0) {
      throw blazarError("InvalidArgument", "resize a terminal", "the process has no terminal, or has ended");
    }
    check(sys.setWindowSize(this.master, rows, columns), "resize a terminal");
  }

  /** Hands over the rest of the output and ends the streams: everything that held them has been killed. */
  async finish(): Promise<void> {
    this.input?.stop();
    await Promise.all(this.outputs.map((output) => output.finishWithin(END_OF_OUTPUT_MS)));
    this.master = -1;
  }

  /**
   * Hands over what the process has written. Its children may still write: the streams end when the last of them has
   * closed the pipes, or after so many milliseconds.
   */
  drain(milliseconds: number): void {
    this.input?.stop();
    for (const output of this.outputs) output.drain(milliseconds);
    this.master = -1;
  }

  /** Closes everything, the streams of the link included. */
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
    // the master has to be read even without a stream, or the process would block
    this.outputs.push(new OutputPump(this.loop, this.peer, master, this.streams.stdout));
  }
}
