/**
 * The control socket: the transport of the one daemon that the keeper serves at a time.
 *
 * Only root and the keeper's own user may connect (SO_PEERCRED, unix(7)). With its first byte a connection replaces the one
 * before, which may be a dead daemon's. A connection that says nothing, such as a probe, disturbs nobody. It knows bytes,
 * not messages.
 */
import * as sys from "sys";
import type { EventLoop, Watch } from "../native/runtime/event-loop.ts";
import type { Logger } from "../native/runtime/log.ts";
import { QueuedWriter } from "../native/runtime/queued-writer.ts";
import { Listener } from "./listener.ts";

/** What may wait for a daemon that does not read, before it counts as dead. */
const MAX_QUEUED_BYTES = 24 * 1024 * 1024;
/** Connections that have not said anything yet. */
const MAX_SILENT = 8;

/** One read of a pass. Shared: what is received is handled or copied at once. */
const buffer = new Uint8Array(64 * 1024);

export interface ControlServerOptions {
  readonly path: string;
  readonly mode: number;
  readonly loop: EventLoop;
  readonly log: Logger;
  /** A daemon is there. */
  readonly onAttach: (send: (frame: Uint8Array) => void) => void;
  readonly onReceive: (bytes: Uint8Array) => void;
  readonly onDetach: () => void;
  /** Something that was queued has been sent. */
  readonly onProgress: () => void;
}

interface Link {
  readonly fd: number;
  readonly watch: Watch;
  readonly writer: QueuedWriter;
}

export class ControlServer {
  private readonly options: ControlServerOptions;
  private readonly listener: Listener;
  private readonly silent = new Set<Link>();
  private current: Link | undefined;

  constructor(options: ControlServerOptions) {
    this.options = options;
    const { path, mode, loop, log } = options;
    this.listener = new Listener({ path, mode, loop, log, onConnection: (fd) => this.accepted(fd) });
  }

  /** True while a daemon is connected. */
  get linked(): boolean {
    return this.current !== undefined;
  }

  /** Bytes that wait for the daemon to read; undefined without one. */
  get queued(): number | undefined {
    return this.current?.writer.pending;
  }

  /** Drops the daemon's connection. */
  disconnect(): void {
    if (this.current !== undefined) this.drop(this.current);
  }

  /** Sends what is queued, then calls `done`; the socket is gone. */
  close(done: () => void): void {
    this.listener.close();
    if (this.current === undefined) done();
    else this.current.writer.end(done);
  }

  private accepted(fd: number): void {
    const { loop, log, onProgress } = this.options;
    const peer = sys.peerCredentials(fd);
    const { euid } = sys.getids();
    if (typeof peer === "number" || (peer.uid !== 0 && peer.uid !== euid)) {
      log.warn("a connection to the control socket was refused", { peer });
      sys.close(fd);
      return;
    }
    const watch = loop.watch(fd);
    const writer = new QueuedWriter({ fd, watch, limit: MAX_QUEUED_BYTES, onProgress });
    const link: Link = { fd, watch, writer };
    watch.setReadable(() => this.read(link));
    this.silent.add(link);
    const [oldest] = this.silent;
    if (this.silent.size > MAX_SILENT && oldest !== undefined) this.drop(oldest);
  }

  private read(link: Link): void {
    const count = sys.read(link.fd, buffer.buffer, 0, buffer.length);
    if (count === -sys.EAGAIN) return;
    if (count <= 0) return this.drop(link);
    if (this.silent.delete(link)) this.attach(link);
    this.options.onReceive(buffer.subarray(0, count));
  }

  private attach(link: Link): void {
    const { log, onAttach } = this.options;
    if (this.current !== undefined) {
      log.warn("a newer connection replaces the daemon's");
      this.drop(this.current);
    }
    this.current = link;
    onAttach((frame) => this.send(link, frame));
  }

  private send(link: Link, frame: Uint8Array): void {
    if (link !== this.current || link.writer.write(frame)) return;
    this.options.log.error("the daemon takes nothing any more: its connection is closed");
    this.drop(link);
  }

  private drop(link: Link): void {
    this.silent.delete(link);
    link.watch.stop();
    sys.close(link.fd);
    if (link !== this.current) return;
    this.current = undefined;
    this.options.onDetach();
  }
}
