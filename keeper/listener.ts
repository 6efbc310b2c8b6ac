/**
 * A listening unix socket: takes over what a dead keeper left, refuses to displace a living one.
 *
 * It follows unix(7): a socket's file outlives its process, and only a refused connection proves that nobody answers. A file
 * that is no socket is never removed. If the listener's own file is removed, it is made anew: nobody could connect otherwise.
 */
import * as sys from "sys";
import { check, failure } from "../native/runtime/check.ts";
import type { EventLoop, Timer, Watch } from "../native/runtime/event-loop.ts";
import type { Logger } from "../native/runtime/log.ts";
import { type BlazarError, blazarError } from "../src/contracts/errors.ts";

const BACKLOG = 128;
/** How long to leave connections waiting when descriptors have run out. */
const RETRY_ACCEPT_MS = 100;
/** From one look whether the file is still there to the next. */
const LOOK_MS = 2_000;

export interface ListenerOptions {
  readonly path: string;
  readonly mode: number;
  readonly loop: EventLoop;
  readonly log: Logger;
  /** A non-blocking connection, the receiver's to close. */
  readonly onConnection: (fd: number) => void;
}

export class Listener {
  private readonly options: ListenerOptions;
  private watch: Watch;
  private look: Timer;
  private complained = false;

  /** Throws a BlazarError that says who is in the way. */
  constructor(options: ListenerOptions) {
    this.options = options;
    this.watch = this.watched(listen(options.path, options.mode));
    this.look = this.lookLater();
  }

  /** Stops listening and removes the file. */
  close(): void {
    this.look.cancel();
    this.watch.stop();
    sys.close(this.watch.fd);
    sys.unlink(this.options.path);
  }

  private watched(fd: number): Watch {
    return this.options.loop.watch(fd, { readable: () => this.accept() });
  }

  private lookLater(): Timer {
    return this.options.loop.setTimer(LOOK_MS, () => {
      this.remakeIfGone();
      this.look = this.lookLater();
    });
  }

  /** Connections that there are stay as they are. What another process has put there is its own. */
  private remakeIfGone(): void {
    const { path, mode, log } = this.options;
    if (sys.lstat(path) !== -sys.ENOENT) return;
    const fd = sys.unixListen(path, mode, BACKLOG);
    if (fd < 0) {
      if (!this.complained)
        log.error("a socket's file was removed and cannot be made anew; it is tried again", {
          path,
          error: failure(fd, "HostResource", "listen"),
        });
      this.complained = true;
      return;
    }
    this.complained = false;
    const old = this.watch;
    this.watch = this.watched(fd);
    old.stop();
    sys.close(old.fd);
    log.warn("a socket's file was removed: it was made anew", { path });
  }

  private accept(): void {
    const fd = sys.accept4(this.watch.fd);
    if (fd >= 0) return this.options.onConnection(fd);
    if (fd === -sys.EAGAIN || fd === -sys.ECONNRESET) return;
    const { log, loop, path } = this.options;
    log.error("a connection cannot be accepted", { path, error: failure(fd, "ResourceExhausted", "accept") });
    this.watch.setReadable(null);
    loop.setTimer(RETRY_ACCEPT_MS, () => this.watch.setReadable(() => this.accept()));
  }
}

function listen(path: string, mode: number): number {
  const operation = "listen";
  const first = sys.unixListen(path, mode, BACKLOG);
  if (first !== -sys.EADDRINUSE) {
    if (first === -sys.ENOENT) {
      throw blazarError("InvalidArgument", operation, "its directory does not exist", {
        subject: path,
        remedy: "make it, with mode 0700",
      });
    }
    return check(first, operation, path);
  }
  requireStale(path);
  check(sys.unlink(path), "remove a dead keeper's socket", path);
  return check(sys.unixListen(path, mode, BACKLOG), operation, path);
}

function requireStale(path: string): void {
  const stat = sys.lstat(path);
  if (typeof stat !== "number" && (stat.mode & sys.S_IFMT) !== sys.S_IFSOCK)
    throw inTheWay(path, "a file that is no socket is in the way", "choose another path, or remove it");
  const answering = sys.unixConnect(path);
  if (answering === -sys.ECONNREFUSED || answering === -sys.ENOENT) return;
  if (answering >= 0) sys.close(answering);
  throw inTheWay(path, "another process answers on it", "use the keeper that runs, or end it first");
}

function inTheWay(subject: string, reason: string, remedy: string): BlazarError {
  return blazarError("HostResource", "listen", reason, { subject, remedy });
}
