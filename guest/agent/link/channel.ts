/**
 * The link to the daemon: the guest's half of a virtio-serial port (virtio spec 1.2, 5.3 Console Device).
 *
 * The port is watched edge-triggered. Without a host it reads as ended for ever, so a level-triggered watch would spin.
 * A hang-up of the host is one edge, its return another. If the host breaks the protocol, the agent closes and opens the
 * port, which drops the bytes in flight; the agent's second hello then makes the host reconnect.
 */
import * as os from "os";
import * as sys from "sys";
import type { EventLoop, Watch } from "../../../native/runtime/event-loop.ts";
import type { Logger } from "../../../native/runtime/log.ts";
import { delay } from "../../../native/runtime/promises.ts";
import { QueuedWriter } from "../../../native/runtime/queued-writer.ts";
import { textCodec } from "../../../native/runtime/text-codec.ts";
import type { BlazarError } from "../../../src/contracts/errors.ts";
import { AGENT_PORT_NAME, GUEST_PROTOCOL_MINOR } from "../../../src/protocol/guest/messages.ts";
import { GUEST_MAX_FRAME_BYTES, GUEST_MAX_REQUEST_BYTES } from "../../../src/protocol/wire/frame.ts";
import { Peer } from "../../../src/protocol/wire/peer.ts";
import type { MarkStep } from "../../../src/protocol/wire/request-steps.ts";
import { findPort } from "./ports.ts";

/** What is read at once. The port's driver hands over a page at a time. */
const READ_BYTES = 64 * 1024;
/** So often in one pass of the loop. An edge is not repeated, so the loop is asked to read on in the next pass. */
const READS_PER_PASS = 2;
/** Far more than the streams' credits and the open requests add up to. While half of it waits, nothing is read. */
const MAX_QUEUED_BYTES = 8 * 1024 * 1024;
const REOPEN_AFTER_MS = 20;
const MAX_PORT_PAUSE_MS = 50;

export interface ChannelOptions {
  readonly loop: EventLoop;
  readonly logger: Logger;
  readonly session: string;
  readonly helloBody: () => unknown;
  readonly onRequest: (op: string, params: unknown, mark: MarkStep) => unknown;
  /** The host has left, or is made to come anew. */
  readonly onDetached: () => void;
}

interface Port {
  readonly fd: number;
  readonly watch: Watch;
  readonly writer: QueuedWriter;
}

export class Channel {
  readonly peer: Peer;
  private readonly loop: EventLoop;
  private readonly logger: Logger;
  private readonly onDetached: () => void;
  private readonly buffer = new Uint8Array(READ_BYTES);
  private port: Port | undefined;
  /** Whether the host has the port open. */
  private attached = false;
  /** Whether reading has stopped until the host takes what waits for it. */
  private choked = false;

  constructor(options: ChannelOptions) {
    this.loop = options.loop;
    this.logger = options.logger;
    this.onDetached = options.onDetached;
    this.peer = new Peer({
      session: options.session,
      text: textCodec,
      maxFrameBytes: GUEST_MAX_FRAME_BYTES,
      maxRequestBytes: GUEST_MAX_REQUEST_BYTES,
      helloBody: options.helloBody,
      onHello: (hello, same) => {
        this.logger.debug("the host is attached", { session: hello.session, same });
        // another host may be there before the port has told that the first one left
        if (!same) this.onDetached();
      },
      onRequest: options.onRequest,
      stepClock: () => os.now(),
      onEvent: (event) => this.logger.warn("the host sent an event, but a host has no events", { event }),
      ownsStreams: false,
      minor: GUEST_PROTOCOL_MINOR,
      onReplaced: () => this.port?.writer.reset(),
      onViolation: (error) => this.violated(error),
    });
  }

  /** Opens the port, which may take a moment to appear after its module. */
  async open(): Promise<void> {
    for (let pause = 1; !this.tryOpen(); pause = Math.min(pause * 2, MAX_PORT_PAUSE_MS)) {
      await delay(this.loop, pause);
    }
  }

  private tryOpen(): boolean {
    const path = findPort(AGENT_PORT_NAME);
    const fd = path === undefined ? -sys.ENOENT : sys.open(path, sys.O_RDWR | sys.O_NONBLOCK);
    if (fd < 0) return false;
    const watch = this.loop.watchEdges(fd, (events) => this.edge(events));
    const writer = new QueuedWriter({
      fd,
      watch,
      limit: MAX_QUEUED_BYTES,
      onDrain: () => this.drained(),
      onError: (error) => this.logger.warn("the port to the host cannot be written to", { error }),
    });
    this.port = { fd, watch, writer };
    return true;
  }

  /** Calls `done` when all frames have been written, or cannot be written because the host is away. */
  whenFlushed(done: () => void): void {
    const pending = this.attached ? (this.port?.writer.pending ?? 0) : 0;
    if (pending === 0) done();
    else this.loop.setTimer(1, () => this.whenFlushed(done));
  }

  private edge(events: number): void {
    if ((events & sys.EPOLLHUP) !== 0) return this.hungUp();
    if (!this.attached) this.attach();
    this.read();
  }

  private send(frame: Uint8Array): void {
    const port = this.port;
    if (port === undefined || port.writer.write(frame)) return;
    this.logger.error("the host does not read from the link, which is therefore reset", {
      queued: port.writer.pending,
    });
    this.reopen();
  }

  private read(): void {
    for (let count = 0; count < READS_PER_PASS; count++) {
      const port = this.port;
      if (port === undefined || !this.attached) return;
      if (!port.writer.roomy) {
        this.choked = true;
        return;
      }
      const size = sys.readAvailable(port.fd, this.buffer.buffer, 0, READ_BYTES);
      if (size === -sys.EAGAIN) return;
      if (size <= 0) return this.hungUp();
      this.peer.receive(this.buffer.subarray(0, size));
    }
    this.loop.defer(() => this.read());
  }

  private drained(): void {
    if (!this.choked) return;
    this.choked = false;
    this.loop.defer(() => this.read());
  }

  /**
   * Drops the frames that the host has left unfinished, and waits for a host to come back. The next host's hello can arrive
   * before the device reports that a host is there: it begins with a mark, and is kept.
   */
  private hungUp(): void {
    const port = this.port;
    if (!this.attached || port === undefined) return;
    this.detach();
    port.writer.reset();
    for (;;) {
      const size = sys.read(port.fd, this.buffer.buffer, 0, READ_BYTES);
      if (size <= 0) return;
      const bytes = this.buffer.subarray(0, size);
      if (!this.peer.beginsAnew(bytes)) continue;
      this.attach();
      return this.receive(bytes);
    }
  }

  private attach(): void {
    this.attached = true;
    this.peer.attach((frame) => this.send(frame));
  }

  private receive(bytes: Uint8Array): void {
    this.peer.receive(bytes);
    this.loop.defer(() => this.read());
  }

  private detach(): void {
    this.attached = false;
    this.choked = false;
    this.peer.detach();
    this.onDetached();
  }

  private violated(error: BlazarError): void {
    this.logger.error("the host broke the protocol, so the link is reset", { error });
    this.reopen();
  }

  private reopen(): void {
    const port = this.port;
    if (port === undefined) return;
    this.port = undefined;
    port.watch.stop();
    sys.close(port.fd);
    this.detach();
    this.loop.setTimer(REOPEN_AFTER_MS, () => void this.open());
  }
}
