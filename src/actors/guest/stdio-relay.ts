/**
 * Joins the stdio streams of one process in the guest with its FIFOs in the keeper.
 *
 * The daemon in the middle keeps no bytes: offsets and credit pass through unchanged, so that the two ends
 * agree on what has arrived even if the daemon dies in between. An output without a FIFO is swallowed; when
 * the guest is lost, the FIFOs are ended where the guest's bytes stopped, because containerd waits for that.
 */
import type { OutputStream, StdioBinding, StdioHandlers, StdioPaths } from "../../contracts/keeper.ts";
import type { GuestStdio } from "../../protocol/guest/messages.ts";
import { encodeAck } from "../../protocol/wire/frame.ts";
import type { StreamHandler } from "../../protocol/wire/peer.ts";
import { StreamReceiver } from "../../protocol/wire/stream.ts";

/** The part of a guest link that a relay needs. */
export interface StreamLink {
  allotStream(): number;
  openStream(id: number, handler: StreamHandler): void;
  closeStream(id: number): void;
  sendFrame(frame: Uint8Array): void;
  sendData(stream: number, offset: number, bytes: Uint8Array): void;
  sendEnd(stream: number, offset: number): void;
}

/** Opens the other side: the keeper, or this process's own stdio in a standalone run. */
export interface StdioHost {
  openStdio(id: string, paths: StdioPaths, handlers: StdioHandlers): Promise<StdioBinding>;
}

/** Nobody is there to send or to take anything. */
export const NO_LINK: StreamLink = {
  allotStream: () => 0,
  openStream: () => undefined,
  closeStream: () => undefined,
  sendFrame: () => undefined,
  sendData: () => undefined,
  sendEnd: () => undefined,
};

interface Output {
  readonly stream: number;
  /** Offset after the last byte passed on. */
  forwarded: number;
  ended: boolean;
  /** All of it is in its FIFO, as an earlier daemon has seen. */
  done?: boolean;
  /** Last ack of the FIFO's side; undefined until the first. */
  ack: { offset: number; window: number } | undefined;
}

/** One process's stdio. Make it, {@link open} it, tell the guest {@link streams}, in the end {@link close} it. */
export class StdioRelay {
  private binding: StdioBinding | undefined;
  private readonly outputs = new Map<OutputStream, Output>();
  private inputAck: { offset: number; window: number } | undefined;
  private settle: (() => void) | undefined;
  private closed = false;
  /** All outputs are known. */
  private opened = false;
  /** The guest will send no more. */
  private terminated = false;
  /** What the guest is told. */
  readonly streams: GuestStdio;
  /** Resolves when every output has ended and is in its FIFO, the keeper of the FIFOs has died, or the relay is closed. */
  readonly drained: Promise<void>;

  constructor(
    private readonly link: StreamLink,
    private readonly id: string,
    private readonly paths: StdioPaths,
    terminal: boolean,
    /** Those that an earlier daemon has told the guest: its relay is taken up where it was. */
    private readonly adopted?: GuestStdio,
  ) {
    // With a terminal there is one output; containerd names a stderr FIFO all the same (facts: ignore it).
    this.streams = adopted ?? {
      stdin: paths.stdin === "" ? 0 : link.allotStream(),
      stdout: link.allotStream(),
      stderr: terminal ? 0 : link.allotStream(),
    };
    this.drained = new Promise((resolve) => {
      this.settle = resolve;
    });
  }

  async open(host: StdioHost): Promise<void> {
    const paths = { ...this.paths, stderr: this.streams.stderr === 0 ? "" : this.paths.stderr };
    const binding = await host.openStdio(this.id, paths, {
      acknowledged: (stream, offset, window) => this.acknowledged(stream, offset, window),
      ended: (stream) => this.endedEarlier(stream),
      // nothing more will reach the FIFOs
      lost: () => this.settle?.(),
      input: (offset, bytes) => this.link.sendData(this.streams.stdin, offset, bytes),
      inputEnd: (offset) => this.link.sendEnd(this.streams.stdin, offset),
    });
    this.binding = binding;
    if (this.closed) return binding.close();
    this.openOutput("stdout", this.streams.stdout, paths.stdout !== "");
    if (this.streams.stderr !== 0) this.openOutput("stderr", this.streams.stderr, paths.stderr !== "");
    if (this.streams.stdin !== 0) this.openInput(binding);
    this.opened = true;
    this.checkDrained();
  }

  /** No more input will come from containerd. */
  async closeInput(): Promise<void> {
    await this.binding?.closeInput();
  }

  /** The guest will send no more: end every output where it is. */
  terminate(): void {
    this.terminated = true;
    for (const [name, output] of this.outputs) this.endWhereItIs(name, output);
  }

  /** Gives up what is left; idempotent. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    for (const id of Object.values(this.streams)) if (id !== 0) this.link.closeStream(id);
    this.settle?.();
    await this.binding?.close();
  }

  /** Where an adopted one is, is known with its FIFO's first ack. */
  private endWhereItIs(name: OutputStream, output: Output): void {
    if (output.ended || (this.adopted !== undefined && output.ack === undefined)) return;
    output.ended = true;
    this.binding?.end(name, output.forwarded);
  }

  private outputOf(name: OutputStream, stream: number): Output {
    const known = this.outputs.get(name);
    if (known !== undefined) return known;
    const output: Output = { stream, forwarded: 0, ended: false, ack: undefined };
    this.outputs.set(name, output);
    return output;
  }

  private openOutput(name: OutputStream, stream: number, wanted: boolean): void {
    if (!wanted) return this.swallow(stream);
    const output = this.outputOf(name, stream);
    this.link.openStream(stream, {
      attached: () => this.passAck(output),
      data: (offset, bytes) => {
        this.binding?.data(name, offset, bytes);
        output.forwarded = Math.max(output.forwarded, offset + bytes.length);
      },
      end: (offset) => {
        this.binding?.end(name, offset);
        output.forwarded = offset;
        output.ended = true;
      },
    });
  }

  private acknowledged(name: OutputStream, offset: number, window: number): void {
    const stream = name === "stdout" ? this.streams.stdout : this.streams.stderr;
    const output = this.outputOf(name, stream);
    // an earlier daemon has passed on what is in the FIFO
    if (!output.ended && this.adopted !== undefined) output.forwarded = Math.max(output.forwarded, offset);
    output.ack = { offset, window };
    this.passAck(output);
    if (this.terminated) this.endWhereItIs(name, output);
    if (output.ended && offset > output.forwarded) this.checkDrained();
  }

  private endedEarlier(name: OutputStream): void {
    const output = this.outputOf(name, name === "stdout" ? this.streams.stdout : this.streams.stderr);
    output.ended = true;
    output.done = true;
    this.checkDrained();
  }

  private passAck(output: Output): void {
    if (output.ack !== undefined)
      this.link.sendFrame(encodeAck(output.stream, output.ack.offset, output.ack.window));
  }

  private checkDrained(): void {
    if (!this.opened) return;
    const done = [...this.outputs.values()].every(
      (output) => output.done === true || (output.ended && (output.ack?.offset ?? -1) > output.forwarded),
    );
    if (done) this.settle?.();
  }

  private openInput(binding: StdioBinding): void {
    this.link.openStream(this.streams.stdin, {
      attached: () => {
        const ack = this.inputAck;
        if (ack !== undefined) binding.acknowledgeInput(ack.offset, ack.window);
      },
      acknowledged: (offset, window) => {
        this.inputAck = { offset, window };
        binding.acknowledgeInput(offset, window);
      },
    });
  }

  /** Takes everything at once, as /dev/null does. */
  private swallow(stream: number): void {
    const receiver: StreamReceiver = new StreamReceiver({
      stream,
      ...(this.adopted === undefined ? {} : { offset: "unknown" }),
      send: (frame) => this.link.sendFrame(frame),
      onData: (bytes) => receiver.consumed(bytes.length),
      onEnd: () => receiver.consumedEnd(),
    });
    this.link.openStream(stream, {
      attached: () => receiver.attached(),
      data: (offset, bytes) => receiver.data(offset, bytes),
      end: (offset) => receiver.end(offset),
    });
  }
}
