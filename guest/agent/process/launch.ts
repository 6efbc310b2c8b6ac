/**
 * The conversation between the agent and a child on its way from clone(2) to execve(2), over a socket pair.
 *
 * First the child says that it is ready, and hands over its terminal's master if it has one; or it says why it cannot be.
 * The agent answers with a byte when the process may start. Then execve closes the socket, or the child says why execve
 * failed. The child's half blocks and uses no loop; the agent's half never blocks.
 */
import * as sys from "sys";
import { check, checkValue } from "../../../native/runtime/check.ts";
import type { EventLoop, Watch } from "../../../native/runtime/event-loop.ts";
import { deferred } from "../../../native/runtime/promises.ts";
import { decode, encode } from "../../../native/runtime/text-codec.ts";
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import {
  type ErrorFallback,
  errorFromRecord,
  errorToRecord,
} from "../../../src/protocol/wire/error-record.ts";
import { isRecord } from "../../../src/protocol/wire/json.ts";

const NOT_EXECUTED = 127;
/** A report of success fits; a report of a failure may need more. */
const FIRST_REPORT_BYTES = 256;
const MAX_REPORT_BYTES = 64 * 1024;
const END = 0x0a;
const START_FAILURE: ErrorFallback = { code: "GuestFailed", operation: "start a process" };

/** The child's half. */
export class LaunchChild {
  /** `pid`: the child's pid in the agent's PID namespace, where the agent does not know it yet. */
  constructor(
    private readonly socket: number,
    private readonly pid: number | undefined,
  ) {}

  /** Tells the agent that everything is prepared; hands over the terminal's master if there is one (≥ 0). */
  ready(master: number): void {
    const line = encode(this.pid === undefined ? "{}\n" : `{"pid":${this.pid}}\n`);
    const fds = master < 0 ? [] : [master];
    check(sys.sendFds(this.socket, line.buffer, 0, line.length, fds), "report to the agent");
    if (master >= 0) sys.close(master);
  }

  /** Waits until the process may start; exits if the agent has given it up. */
  awaitStart(): void {
    if (sys.read(this.socket, new ArrayBuffer(1), 0, 1) !== 1) sys._exit(NOT_EXECUTED);
  }

  /** Tells the agent why there will be no process, and exits. */
  fail(error: unknown): never {
    const line = encode(`${JSON.stringify({ error: errorToRecord(error, START_FAILURE), pid: this.pid })}\n`);
    sys.write(this.socket, line.buffer, 0, line.length);
    sys._exit(NOT_EXECUTED);
  }
}

/** The agent's half. */
export class Launch {
  private readonly loop: EventLoop;
  private readonly socket: number;
  private readonly watch: Watch;
  private bytes = new Uint8Array(FIRST_REPORT_BYTES);
  private readonly readiness = deferred<number>();
  private readonly executed = deferred<void>();
  private length = 0;
  private master = -1;
  private childPid: number | undefined;
  private isReady = false;
  private isStarted = false;
  private closed = false;

  constructor(loop: EventLoop, socket: number) {
    this.loop = loop;
    this.socket = socket;
    // either may reject before anybody waits for it
    this.readiness.promise.catch(() => undefined);
    this.executed.promise.catch(() => undefined);
    this.watch = loop.watch(socket, { readable: () => void this.receive() });
  }

  /** A socket pair for a child: its end, which blocks, and the agent's. */
  static pair(): [child: number, agent: number] {
    const [child, agent] = checkValue(sys.socketpair(0), "make a socket pair");
    check(sys.setNonblock(agent, true), "make a socket non-blocking");
    return [child, agent];
  }

  /** The terminal's master, or -1, once the child is prepared. Rejects with the reason why it could not be. */
  get ready(): Promise<number> {
    return this.readiness.promise;
  }

  /** The pid that the child has reported. */
  get pid(): number | undefined {
    return this.childPid;
  }

  /** Lets the process start. Resolves when execve(2) has succeeded, rejects with its error. */
  start(): Promise<void> {
    this.isStarted = true;
    const result = sys.write(this.socket, new ArrayBuffer(1), 0, 1);
    if (result < 0) this.close(died());
    return this.executed.promise;
  }

  /**
   * The child has been reaped, so no more reports will come. It may have executed and ended before the loop looked at
   * the socket: reports that have arrived are still read.
   */
  settle(): void {
    while (!this.closed && this.receive());
    this.abandon();
  }

  /** Gives the child up: if it waits for its start, it exits. */
  abandon(): void {
    this.close(died());
  }

  /** Reads once; false if nothing was there. */
  private receive(): boolean {
    const room = this.bytes.length - this.length;
    const received = sys.recvFds(this.socket, this.bytes.buffer, this.length, room);
    if (received === -sys.EAGAIN) return false;
    const [count, master] = typeof received === "number" ? [0, undefined] : received;
    if (master !== undefined) this.master = master;
    if (count === undefined || count === 0) {
      this.ended();
      return true;
    }
    this.length += count;
    this.readLines();
    if (this.length === MAX_REPORT_BYTES) this.close(died());
    else if (this.length === this.bytes.length) this.grow();
    return true;
  }

  private grow(): void {
    const bytes = new Uint8Array(MAX_REPORT_BYTES);
    bytes.set(this.bytes);
    this.bytes = bytes;
  }

  private readLines(): void {
    for (;;) {
      const end = this.bytes.subarray(0, this.length).indexOf(END);
      if (end < 0) return;
      const message: unknown = JSON.parse(decode(this.bytes.subarray(0, end)));
      this.bytes.copyWithin(0, end + 1, this.length);
      this.length -= end + 1;
      if (isRecord(message)) {
        if (typeof message["pid"] === "number") this.childPid = message["pid"];
        if (message["error"] !== undefined)
          return this.close(errorFromRecord(message["error"], START_FAILURE));
      }
      this.isReady = true;
      this.readiness.resolve(this.master);
    }
  }

  /** The child's end is closed: by execve if the child was allowed to start, else by its death. */
  private ended(): void {
    if (!this.isReady || !this.isStarted) return this.close(died());
    this.executed.resolve();
    this.close(undefined);
  }

  private close(error: BlazarError | undefined): void {
    if (this.closed) return;
    this.closed = true;
    this.watch.stop();
    sys.close(this.socket);
    if (error === undefined) return;
    if (!this.isReady && this.master >= 0) sys.close(this.master);
    this.readiness.reject(error);
    // in a later pass, when the child has been reaped: the caller should find it gone
    this.loop.defer(() => this.executed.reject(error));
  }
}

function died(): BlazarError {
  return blazarError(
    "GuestFailed",
    "start a process",
    "its child was killed before it could execute the command",
    {
      remedy: "look for a memory limit that is too small to start a process",
    },
  );
}
