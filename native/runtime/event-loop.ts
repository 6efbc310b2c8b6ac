/**
 * The event loop of agent and keeper: epoll(7) and timers, one pass for each call of the runtime's main loop.
 *
 * It is fair: in one pass the handler of every ready descriptor runs once, and a handler reads or writes once. So a
 * stream that floods slows nobody else. An error that a handler throws does not end the loop. Promise jobs run between
 * passes. A child process must not enter the loop; child.ts sees to that.
 */
import * as os from "os";
import * as sys from "sys";
import { check } from "./check.ts";
import { createLogger, type Logger } from "./log.ts";
import { type HeapTimer, TimerHeap } from "./timer-heap.ts";

/** Events of one pass. Descriptors that are ready beyond that come first in the next pass. */
const BATCH = 64;
const BYTES_PER_EVENT = 8;
const FAILED = sys.EPOLLERR | sys.EPOLLHUP;

/** Called when a descriptor is ready; must do one read or write (or accept) and return. */
export type ReadyHandler = () => void;

/** A descriptor that the loop watches. */
export interface Watch {
  readonly fd: number;
  /** Sets or, with null, pauses the handler for "readable or ended". */
  setReadable(handler: ReadyHandler | null): void;
  /** Sets or pauses the handler for "writable or failed". */
  setWritable(handler: ReadyHandler | null): void;
  /** Stops watching. The caller closes the descriptor, after this call. */
  stop(): void;
}

/** A timer. Cancelling it has no effect once it has run. */
export interface Timer {
  cancel(): void;
}

export interface EventLoopOptions {
  readonly logger?: Logger;
  /** Milliseconds that never go back; for tests. */
  readonly now?: () => number;
}

interface Registration {
  dispatch(events: number): void;
}

interface LoopTimer extends HeapTimer, Timer {
  readonly handler: () => void;
}

export class EventLoop {
  private readonly epoll: number;
  private readonly buffer = new ArrayBuffer(BATCH * BYTES_PER_EVENT);
  private readonly events = new Int32Array(this.buffer);
  private readonly registrations = new Map<number, Registration>();
  private readonly timers = new TimerHeap<LoopTimer>();
  private readonly logger: Logger;
  private readonly clock: () => number;
  private deferred: (() => void)[] = [];
  private nextToken = 1;
  private nextOrder = 0;

  constructor(options: EventLoopOptions = {}) {
    this.epoll = check(sys.epollCreate(), "make an event loop");
    this.logger = options.logger ?? createLogger("loop");
    this.clock = options.now ?? os.now;
  }

  /** Milliseconds of the loop's clock, from an arbitrary start. */
  now(): number {
    return this.clock();
  }

  /**
   * Watches a descriptor level-triggered: a handler is called in every pass while its condition holds. Without a handler
   * the descriptor is not polled at all, because a peer that has ended would wake the loop for ever.
   */
  watch(fd: number, handlers: { readable?: ReadyHandler; writable?: ReadyHandler } = {}): Watch {
    const token = this.token();
    const watch = new LevelWatch(fd, token, this.epoll, () => this.registrations.delete(token));
    this.registrations.set(token, watch);
    try {
      watch.setReadable(handlers.readable ?? null);
      watch.setWritable(handlers.writable ?? null);
    } catch (error) {
      watch.stop();
      throw error;
    }
    return watch;
  }

  /**
   * Watches a descriptor edge-triggered for input, output and hang-up, the only way that works for virtio-serial. The
   * handler gets the events of each edge, and must read until EAGAIN or 0. It runs before the handlers of the returned
   * watch, so that a reconnect is noticed before queued bytes are written.
   */
  watchEdges(fd: number, handler: (events: number) => void): Watch {
    const token = this.token();
    const watch = new EdgeWatch(fd, token, this.epoll, handler, () => this.registrations.delete(token));
    this.registrations.set(token, watch);
    try {
      watch.start();
    } catch (error) {
      this.registrations.delete(token);
      throw error;
    }
    return watch;
  }

  /** Calls `handler` once, after `milliseconds` or later, and never in the pass that sets the timer. */
  setTimer(milliseconds: number, handler: () => void): Timer {
    const due = this.clock() + Math.max(0, milliseconds);
    const timer: LoopTimer = {
      due,
      order: this.nextOrder++,
      index: -1,
      handler,
      cancel: () => this.timers.remove(timer),
    };
    this.timers.add(timer);
    return timer;
  }

  /** Calls `handler` in the next pass, after the descriptors' handlers. */
  defer(handler: () => void): void {
    this.deferred.push(handler);
  }

  /** Hands the loop to the runtime, which runs it as soon as the program's top level has returned. */
  start(): void {
    sys.setTick(() => this.pass());
  }

  /** Ends the program with status 0 after this pass. */
  stop(): void {
    sys.setTick(null);
  }

  /** One pass: waits for the first event or timer, then runs what is ready. */
  pass(): void {
    const count = check(sys.epollWait(this.epoll, this.timeout(), this.buffer), "wait for events");
    for (let index = 0; index < count; index++) {
      const token = (this.events[2 * index] ?? 0) >>> 0;
      const events = this.events[2 * index + 1] ?? 0;
      // undefined if a handler of this pass has stopped the watch
      const registration = this.registrations.get(token);
      if (registration !== undefined) this.guard("descriptor", () => registration.dispatch(events));
    }
    this.runTimers();
    const deferred = this.deferred;
    this.deferred = [];
    for (const handler of deferred) this.guard("deferred", handler);
  }

  /** A number that is not used again before 2^32 registrations, so that a stale event cannot reach a new descriptor. */
  private token(): number {
    do {
      this.nextToken = (this.nextToken + 1) >>> 0;
    } while (this.registrations.has(this.nextToken));
    return this.nextToken;
  }

  private timeout(): number {
    if (this.deferred.length > 0) return 0;
    const first = this.timers.first();
    if (first === undefined) return -1;
    return Math.min(Math.max(0, Math.ceil(first.due - this.clock())), 0x7fff_ffff);
  }

  private runTimers(): void {
    const now = this.clock();
    const limit = this.nextOrder;
    for (;;) {
      const first = this.timers.first();
      if (first === undefined || first.due > now || first.order >= limit) return;
      this.timers.remove(first);
      this.guard("timer", first.handler);
    }
  }

  private guard(kind: string, handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.logger.error("a handler threw", { kind, error });
    }
  }
}

class LevelWatch implements Watch, Registration {
  readonly fd: number;
  private readonly token: number;
  private readonly epoll: number;
  private readonly forget: () => void;
  private readable: ReadyHandler | null = null;
  private writable: ReadyHandler | null = null;
  private interest = 0;
  private stopped = false;

  constructor(fd: number, token: number, epoll: number, forget: () => void) {
    this.fd = fd;
    this.token = token;
    this.epoll = epoll;
    this.forget = forget;
  }

  setReadable(handler: ReadyHandler | null): void {
    this.readable = handler;
    this.update();
  }

  setWritable(handler: ReadyHandler | null): void {
    this.writable = handler;
    this.update();
  }

  stop(): void {
    if (this.stopped) return;
    this.readable = null;
    this.writable = null;
    this.update();
    this.stopped = true;
    this.forget();
  }

  dispatch(events: number): void {
    if ((events & (sys.EPOLLIN | FAILED)) !== 0) this.readable?.();
    // the first handler may have stopped this watch, and cleared this one
    if ((events & (sys.EPOLLOUT | FAILED)) !== 0) this.writable?.();
  }

  private update(): void {
    if (this.stopped) return;
    const wanted = (this.readable ? sys.EPOLLIN : 0) | (this.writable ? sys.EPOLLOUT : 0);
    if (wanted === this.interest) return;
    const operation =
      wanted === 0 ? sys.EPOLL_CTL_DEL : this.interest === 0 ? sys.EPOLL_CTL_ADD : sys.EPOLL_CTL_MOD;
    const result = sys.epollCtl(this.epoll, operation, this.fd, wanted, this.token);
    // epoll has forgotten a descriptor that was closed before
    if (operation !== sys.EPOLL_CTL_DEL) check(result, "watch a descriptor", `fd ${this.fd}`);
    this.interest = wanted;
  }
}

class EdgeWatch implements Watch, Registration {
  readonly fd: number;
  private readonly token: number;
  private readonly epoll: number;
  private readonly handler: (events: number) => void;
  private readonly forget: () => void;
  private readable: ReadyHandler | null = null;
  private writable: ReadyHandler | null = null;
  private stopped = false;

  constructor(
    fd: number,
    token: number,
    epoll: number,
    handler: (events: number) => void,
    forget: () => void,
  ) {
    this.fd = fd;
    this.token = token;
    this.epoll = epoll;
    this.handler = handler;
    this.forget = forget;
  }

  start(): void {
    const events = sys.EPOLLIN | sys.EPOLLOUT | sys.EPOLLET;
    check(
      sys.epollCtl(this.epoll, sys.EPOLL_CTL_ADD, this.fd, events, this.token),
      "watch a descriptor",
      `fd ${this.fd}`,
    );
  }

  setReadable(handler: ReadyHandler | null): void {
    this.readable = handler;
  }

  setWritable(handler: ReadyHandler | null): void {
    this.writable = handler;
  }

  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    this.readable = null;
    this.writable = null;
    sys.epollCtl(this.epoll, sys.EPOLL_CTL_DEL, this.fd, 0, this.token);
    this.forget();
  }

  dispatch(events: number): void {
    this.handler(events);
    // each handler may have stopped this watch, and cleared the next ones
    if ((events & sys.EPOLLIN) !== 0) this.readable?.();
    if ((events & sys.EPOLLOUT) !== 0) this.writable?.();
  }
}
