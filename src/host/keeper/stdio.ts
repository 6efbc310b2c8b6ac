/**
 * The daemon's end of a process's stdio in the keeper: offsets pass through.
 *
 * The guest is hostile: its gaps, overruns and false acks are thrown back at the caller and never reach the keeper.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { OutputStream, StdioHandlers } from "../../contracts/keeper.ts";
import type { StdioOpen } from "../../protocol/keeper/messages.ts";
import { encodeAck } from "../../protocol/wire/frame.ts";
import type { Peer } from "../../protocol/wire/peer.ts";
import { RelayedOutput } from "./relayed-output.ts";

/** Input from the keeper towards the guest. */
class RelayedInput {
  private ack: { offset: number; window: number } | undefined;
  private closed = false;
  /** Highest offset that the keeper has sent; unknown for a stream of an earlier daemon until it sends. */
  private seen: number | undefined;

  constructor(
    private readonly stream: number,
    private readonly peer: Peer,
    adopted: boolean,
    private readonly handlers: () => StdioHandlers | undefined,
  ) {
    this.seen = adopted ? undefined : 0;
    peer.openStream(stream, {
      data: (offset, bytes) => {
        this.seen = Math.max(this.seen ?? 0, offset + bytes.length);
        this.handlers()?.input(offset, bytes);
      },
      end: (offset) => {
        this.seen = Math.max(this.seen ?? 0, offset + 1);
        this.handlers()?.inputEnd(offset);
      },
      attached: () => this.sendAck(),
    });
  }

  acknowledge(offset: number, window: number): void {
    if (this.closed) return;
    if (this.seen !== undefined && offset > this.seen) {
      const reason = `an ack of offset ${offset}, ${this.seen} were sent`;
      throw blazarError("FrameUnexpected", "relay input", reason, { subject: "stdin" });
    }
    this.ack = { offset, window };
    this.sendAck();
  }

  /** The keeper ignores what names a stream that it has not opened yet. */
  sendAck(): void {
    if (this.ack !== undefined) this.peer.send(encodeAck(this.stream, this.ack.offset, this.ack.window));
  }

  close(): void {
    this.closed = true;
    this.peer.closeStream(this.stream);
  }
}

/** The streams of one process; exists from the request (or the keeper's hello) until closed. */
export class StdioChannel {
  private handlers: StdioHandlers | undefined;
  private readonly outputs = new Map<OutputStream, RelayedOutput>();
  private readonly inputStream: RelayedInput | undefined;

  constructor(
    readonly open: StdioOpen,
    peer: Peer,
    adopted: boolean,
    private readonly ended: readonly number[] = [],
  ) {
    const handlers = (): StdioHandlers | undefined => this.handlers;
    const { stdin, stdout, stderr } = open;
    if (stdin.stream !== 0) this.inputStream = new RelayedInput(stdin.stream, peer, adopted, handlers);
    if (stdout.stream !== 0)
      this.outputs.set("stdout", new RelayedOutput("stdout", stdout.stream, peer, handlers));
    if (stderr.stream !== 0)
      this.outputs.set("stderr", new RelayedOutput("stderr", stderr.stream, peer, handlers));
  }

  /** Whoever serves the process from now on. */
  bind(handlers: StdioHandlers): void {
    this.handlers = handlers;
    handlers.attached?.();
    for (const output of this.outputs.values()) output.report();
    for (const name of ["stdout", "stderr"] as const)
      if (this.ended.includes(this.open[name].stream)) handlers.ended?.(name);
    this.inputStream?.sendAck();
  }

  /** The link to the keeper came up or went down. */
  linkChanged(up: boolean): void {
    if (up) this.handlers?.attached?.();
    else this.handlers?.detached?.();
  }

  /** The keeper has died, and the FIFOs' ends with it. */
  lost(): void {
    const { handlers } = this;
    this.close();
    handlers?.lost?.();
  }

  output(name: OutputStream): RelayedOutput {
    const output = this.outputs.get(name);
    if (output === undefined) throw this.absent(name);
    return output;
  }

  get input(): RelayedInput {
    if (this.inputStream === undefined) throw this.absent("stdin");
    return this.inputStream;
  }

  close(): void {
    this.handlers = undefined;
    this.inputStream?.close();
    for (const output of this.outputs.values()) output.close();
  }

  private absent(name: string): BlazarError {
    return blazarError("FrameUnexpected", "relay stdio", `it has no ${name}`, { subject: this.open.id });
  }
}
