/**
 * The unix socket under the daemon's peer towards the keeper: connects, and connects again when it is lost.
 *
 * The first connection has a deadline. A lost one is retried for as long as the daemon lives, more and more slowly if it
 * never lasts: two daemons that displace each other must not spin. It knows no messages.
 */
import { createConnection, type Socket } from "node:net";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import { deferred, withDeadline } from "../../lib/async.ts";
import { readingInPlace } from "../../lib/sockets/unix-socket.ts";
import type { Peer } from "../../protocol/wire/peer.ts";

const FIRST_RETRY_MS = 20;
const SLOWEST_RETRY_MS = 1_000;
/** A link that has lasted this long was a good one. */
const STABLE_MS = 5_000;

export interface KeeperLinkOptions {
  /** The keeper's control socket. */
  readonly path: string;
  readonly peer: Peer;
  readonly log: Logger;
  /** Milliseconds for the first hello to arrive. */
  readonly connectTimeoutMs: number;
  /** The link has gone down. */
  readonly onDown: () => void;
  /** Called before each attempt to connect again; must not reject. */
  readonly beforeRetry: () => Promise<void>;
}

export class KeeperLink {
  private socket: Socket | undefined;
  private retry: NodeJS.Timeout | undefined;
  private delay = FIRST_RETRY_MS;
  private closed = false;
  private lastError: unknown;
  /** It has been told that no keeper answers; it is told anew after the next loss. */
  private isWaiting = false;
  /** How often a link that was up has gone down. */
  losses = 0;
  private readonly firstHello = deferred<void>();

  constructor(private readonly options: KeeperLinkOptions) {}

  /** Resolves at the first hello. Throws KeeperLost when the time is over, ProtocolVersion at once. */
  async open(): Promise<void> {
    const { connectTimeoutMs } = this.options;
    this.connect();
    try {
      await withDeadline(this.firstHello.promise, connectTimeoutMs, () => this.unreachable());
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The keeper has said hello. */
  greeted(): void {
    this.isWaiting = false;
    this.firstHello.resolve();
  }

  /** The keeper broke the protocol: drop the connection. */
  violated(error: BlazarError): void {
    this.lastError = error;
    this.options.log.error({ err: error }, "the keeper broke the protocol");
    if (error.code === "ProtocolVersion") this.firstHello.reject(error);
    this.socket?.destroy();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.retry);
    this.socket?.destroy();
  }

  private connect(): void {
    const { path, peer } = this.options;
    const socket: Socket = createConnection({
      path,
      ...readingInPlace((bytes) => this.received(socket, bytes)),
    });
    let since = 0;
    this.socket = socket;
    socket.on("connect", () => {
      since = performance.now();
      peer.attach((frame) => socket.write(frame));
    });
    socket.on("error", (error) => {
      this.lastError = error;
    });
    socket.on("close", () => this.down(since === 0 ? 0 : performance.now() - since));
  }

  private received(socket: Socket, bytes: Uint8Array): void {
    if (this.socket === socket && !socket.destroyed) this.options.peer.receive(bytes);
  }

  private down(lastedMs: number): void {
    const { peer, log, onDown, path } = this.options;
    const wasUp = peer.attached;
    peer.detach();
    if (wasUp) onDown();
    if (this.closed) return;
    if (wasUp) this.losses++;
    else this.waits();
    if (wasUp) log.warn({ path, err: this.lastError }, "the keeper's link is down: connecting again");
    if (lastedMs >= STABLE_MS) this.delay = FIRST_RETRY_MS;
    this.retry = setTimeout(() => void this.again(), this.delay);
    this.delay = Math.min(this.delay * 2, SLOWEST_RETRY_MS);
  }

  /** Says once that there is no keeper yet: until the deadline of the first hello nothing else would. */
  private waits(): void {
    const { log, path } = this.options;
    if (!this.isWaiting) log.warn({ path, err: this.lastError }, "the keeper does not answer: trying again");
    this.isWaiting = true;
  }

  private async again(): Promise<void> {
    await this.options.beforeRetry();
    if (!this.closed) this.connect();
  }

  private unreachable(): BlazarError {
    const { path: subject, connectTimeoutMs } = this.options;
    const cause = this.lastError;
    const reason = cause instanceof Error ? cause.message : `no hello within ${connectTimeoutMs} ms`;
    const remedy = "see that blazar-keeper runs and that its control socket is the configured one";
    return blazarError("KeeperLost", "connect to the keeper", reason, { subject, remedy, cause });
  }
}
