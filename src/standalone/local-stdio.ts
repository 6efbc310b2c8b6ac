/**
 * This process's own stdin, stdout and stderr as the stdio of a container's process.
 *
 * It takes the keeper's place and keeps its promises. Offsets count from 0. Output gets new credit only once it is
 * written, so that a slow reader slows the guest. Input goes at the guest's pace. Must never end stdout or stderr.
 */
import type { Readable, Writable } from "node:stream";
import type { StdioHost } from "../actors/guest/stdio-relay.ts";
import { blazarError } from "../contracts/errors.ts";
import type { OutputStream, StdioBinding, StdioHandlers, StdioPaths } from "../contracts/keeper.ts";
import { ackWindow, FrameType, KEEPER_MAX_FRAME_BYTES } from "../protocol/wire/frame.ts";
import { FrameDecoder } from "../protocol/wire/frame-decoder.ts";
import { StreamReceiver, StreamSender } from "../protocol/wire/stream.ts";

/** Instead of a path in a request: the stream of this name is connected. */
export const CONNECTED = "local";

/** Where a process's stdio goes. */
export interface LocalStreams {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** The output cannot be written: its reader has gone (EPIPE), its disk is full. Once a stream; later output is dropped. */
  readonly onBroken?: (stream: OutputStream, error: Error) => void;
}

/** Each sender and receiver has one stream only: any number will do. */
const STREAM = 1;

/** One process's stdio at a time: there is only one terminal. */
export class LocalStdio implements StdioHost {
  private readonly streams: LocalStreams;
  private input: LocalInput | undefined;

  constructor(streams: LocalStreams) {
    this.streams = streams;
  }

  openStdio(_id: string, paths: StdioPaths, handlers: StdioHandlers): Promise<StdioBinding> {
    const { stdin, stdout, stderr, onBroken } = this.streams;
    const output = (name: OutputStream, target: Writable) =>
      new LocalOutput(target, {
        acknowledged: (offset, window) => handlers.acknowledged(name, offset, window),
        broken: (error) => onBroken?.(name, error),
      });
    const outputs = new Map<OutputStream, LocalOutput>();
    if (paths.stdout !== "") outputs.set("stdout", output("stdout", stdout));
    if (paths.stderr !== "") outputs.set("stderr", output("stderr", stderr));
    const input = paths.stdin === "" ? undefined : new LocalInput(stdin, handlers);
    this.input = input;
    for (const each of outputs.values()) each.open();
    return Promise.resolve({
      data: (name, offset, bytes) => connected(outputs.get(name), name).data(offset, bytes),
      end: (name, offset) => connected(outputs.get(name), name).end(offset),
      acknowledgeInput: (offset, window) => connected(input, "stdin").acknowledged(offset, window),
      closeInput: () => Promise.resolve(input?.finish()),
      close: () => {
        input?.close();
        for (const each of outputs.values()) each.close();
        return Promise.resolve();
      },
    });
  }

  /** Stops reading stdin, so that this process can end. */
  close(): void {
    this.input?.close();
  }
}

function connected<Stream>(stream: Stream | undefined, name: string): Stream {
  if (stream !== undefined) return stream;
  throw blazarError("FrameUnexpected", "relay stdio", `there is no ${name}`);
}

/** The receiving end of an output, at the pace of the output's reader. */
class LocalOutput {
  private readonly target: Writable;
  private readonly receiver: StreamReceiver;
  private readonly onBroken: (error: Error) => void;
  private readonly onError = (error: Error) => this.break(error);
  private writing = 0;
  private ended = false;
  private broken = false;

  constructor(
    target: Writable,
    report: { acknowledged(offset: number, window: number): void; broken(error: Error): void },
  ) {
    this.target = target;
    this.onBroken = report.broken;
    const decoder = new FrameDecoder(KEEPER_MAX_FRAME_BYTES);
    this.receiver = new StreamReceiver({
      stream: STREAM,
      send: (bytes) =>
        decoder.push(bytes, (frame) => {
          const [offset, window] = [frame.sequence, ackWindow(frame)];
          // not within the call that brought the bytes: the keeper acknowledges later, too
          queueMicrotask(() => report.acknowledged(offset, window));
        }),
      onData: (bytes) => this.write(bytes),
      onEnd: () => {
        this.ended = true;
        this.settle();
      },
    });
    target.on("error", this.onError);
  }

  open(): void {
    this.receiver.attached();
  }

  data(offset: number, bytes: Uint8Array): void {
    this.receiver.data(offset, bytes);
  }

  end(offset: number): void {
    this.receiver.end(offset);
  }

  close(): void {
    // while a write is under way the listener stays: a late EPIPE must not become an uncaught error
    if (this.writing === 0) this.target.off("error", this.onError);
  }

  private write(bytes: Uint8Array): void {
    if (this.broken) return this.receiver.consumed(bytes.length);
    this.writing++;
    this.target.write(Buffer.from(bytes), (error) => {
      this.writing--;
      if (error) this.break(error);
      this.receiver.consumed(bytes.length);
      this.settle();
    });
  }

  private settle(): void {
    if (this.ended && this.writing === 0) this.receiver.consumedEnd();
  }

  private break(error: Error): void {
    if (this.broken) return;
    this.broken = true;
    this.onBroken(error);
  }
}

/** The sending end of the input: reads no more than the guest has room for. */
class LocalInput {
  private readonly source: Readable;
  private readonly sender: StreamSender;
  private readonly onData = (chunk: Buffer | string) => this.read(Buffer.from(chunk));
  private readonly onEnd = () => this.finish();
  private closed = false;

  constructor(source: Readable, handlers: Pick<StdioHandlers, "input" | "inputEnd">) {
    this.source = source;
    const decoder = new FrameDecoder(KEEPER_MAX_FRAME_BYTES);
    this.sender = new StreamSender({
      stream: STREAM,
      send: (bytes) =>
        decoder.push(bytes, ({ type, sequence, payload }) => {
          if (type === FrameType.Eof) handlers.inputEnd(sequence);
          else handlers.input(sequence, payload);
        }),
      onRoom: () => {
        if (!this.closed) source.resume();
      },
    });
    source.on("data", this.onData).on("end", this.onEnd).on("close", this.onEnd).on("error", this.onEnd);
  }

  acknowledged(offset: number, window: number): void {
    this.sender.acknowledged(offset, window);
  }

  /** No more input will come. */
  finish(): void {
    this.sender.finish();
    this.close();
  }

  close(): void {
    this.closed = true;
    this.source.off("data", this.onData).off("end", this.onEnd).off("close", this.onEnd);
    this.source.pause();
  }

  private read(chunk: Buffer): void {
    this.sender.write(chunk);
    if (this.sender.room === 0) this.source.pause();
  }
}
