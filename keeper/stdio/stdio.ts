/**
 * The FIFOs of the containers' processes: opened once, served as streams to whichever daemon is there.
 *
 * A set of FIFOs lives from `stdio.open` to `stdio.close` and keeps its positions. A new daemon takes it up by opening it
 * again. Broken offsets harm their own stream, never the link.
 */
import * as sys from "sys";
import { failure } from "../../native/runtime/check.ts";
import type { EventLoop } from "../../native/runtime/event-loop.ts";
import type { Logger } from "../../native/runtime/log.ts";
import { type BlazarError, blazarError } from "../../src/contracts/errors.ts";
import type { KeeperHello, StdioOpen } from "../../src/protocol/keeper/messages.ts";
import type { StreamHandler } from "../../src/protocol/wire/peer.ts";
import { FifoInput } from "./fifo-input.ts";
import { FifoOutput, type FifoStreamOptions } from "./fifo-output.ts";
import { IsolatedStream } from "./isolated-stream.ts";
import { LEAST_INPUT_BYTES, MOST_EXTRA_INPUT_BYTES, StdioCredit, StreamCredit } from "./stdio-credit.ts";

/** Of processes on the node: what each may hold at least is a part of the keeper's memory (main.ts). */
export const MOST_SETS = 8192;

interface StdioSet {
  readonly open: StdioOpen;
  readonly input: FifoInput | undefined;
  readonly outputs: readonly FifoOutput[];
}

export interface StdioOptions {
  readonly loop: EventLoop;
  readonly log: Logger;
  readonly send: (frame: Uint8Array) => void;
  readonly openStream: (id: number, handler: StreamHandler) => void;
  readonly closeStream: (id: number) => void;
}

type End = { readonly path: string; readonly stream: number };

export class Stdio {
  private readonly options: StdioOptions;
  private readonly sets = new Map<string, StdioSet>();
  private readonly streams = new Set<number>();
  private readonly credit = new StdioCredit();
  private readonly inputCredit = new StdioCredit(MOST_EXTRA_INPUT_BYTES);

  constructor(options: StdioOptions) {
    this.options = options;
  }

  /** Open sets. */
  get size(): number {
    return this.sets.size;
  }

  /** For the hello. */
  list(): KeeperHello["stdio"] {
    return [...this.sets.values()].map(({ open, outputs }) => ({
      open,
      ended: outputs.every((output) => output.ended),
      endedStreams: outputs.filter((output) => output.ended).map(({ stream }) => stream),
    }));
  }

  /** Throws InvalidArgument for a path that is no FIFO or an id that is open otherwise; ResourceExhausted. */
  open(wanted: StdioOpen): void {
    const present = this.sets.get(wanted.id);
    if (present !== undefined) {
      if (!same(present.open, wanted)) throw invalid(wanted.id, "it is open with other paths or streams");
      return;
    }
    if (this.sets.size >= MOST_SETS)
      throw blazarError("ResourceExhausted", "open stdio", `${MOST_SETS} processes have theirs open`, {
        subject: wanted.id,
      });
    const { stdin, stdout, stderr } = wanted;
    for (const end of [stdin, stdout, stderr]) this.validate(wanted.id, end);
    const fds = openAll([stdin, stdout, stderr].map(({ path }) => path));
    const input =
      fds[0] === undefined
        ? undefined
        : new FifoInput(
            this.streamOptions(stdin, fds[0]),
            new StreamCredit(this.inputCredit, LEAST_INPUT_BYTES),
          );
    if (input !== undefined) this.register(stdin.stream, input);
    const outputs: FifoOutput[] = [];
    for (const [end, fd] of [[stdout, fds[1]] as const, [stderr, fds[2]] as const]) {
      if (fd === undefined) continue;
      const output = new FifoOutput(this.streamOptions(end, fd), new StreamCredit(this.credit));
      outputs.push(output);
      this.register(end.stream, output);
    }
    this.sets.set(wanted.id, { open: wanted, input, outputs });
  }

  /** The process's input is what is in the FIFO now. An unknown id is fine. */
  closeInput(id: string): void {
    this.sets.get(id)?.input?.finish();
  }

  /** Closes everything of it. An unknown id is fine. */
  close(id: string): void {
    const set = this.sets.get(id);
    if (set === undefined) return;
    this.sets.delete(id);
    set.input?.close();
    for (const output of set.outputs) output.close();
    for (const { stream } of [set.open.stdin, set.open.stdout, set.open.stderr]) {
      this.streams.delete(stream);
      this.options.closeStream(stream);
    }
  }

  private validate(id: string, { path, stream }: End): void {
    if ((path === "") !== (stream === 0))
      throw invalid(id, `path "${path}" does not go with stream ${stream}`);
    if (this.streams.has(stream)) throw invalid(id, `stream ${stream} is in use`);
  }

  private streamOptions({ stream }: End, fd: number): FifoStreamOptions {
    const { loop, log, send } = this.options;
    return { fd, stream, loop, log, send };
  }

  private register(stream: number, handler: StreamHandler): void {
    const { log, openStream } = this.options;
    this.streams.add(stream);
    openStream(stream, new IsolatedStream(stream, handler, log));
  }
}

/** Opens the paths that are not empty, or none of them. */
function openAll(paths: readonly string[]): (number | undefined)[] {
  const fds: (number | undefined)[] = [];
  try {
    for (const path of paths) fds.push(path === "" ? undefined : openFifo(path));
    return fds;
  } catch (error) {
    for (const fd of fds) if (fd !== undefined) sys.close(fd);
    throw error;
  }
}

/** Looks before it opens: opening a device may do something. */
function openFifo(path: string): number {
  const operation = "open a FIFO";
  const before = sys.stat(path);
  if (typeof before === "number") throw failure(before, "InvalidArgument", operation, path);
  requireFifo(before, path);
  const fd = sys.open(path, sys.O_RDWR | sys.O_NONBLOCK);
  if (fd < 0) throw failure(fd, "InvalidArgument", operation, path);
  const stat = sys.fstat(fd);
  try {
    requireFifo(stat, path);
  } catch (error) {
    sys.close(fd);
    throw error;
  }
  return fd;
}

function requireFifo(stat: sys.Stat | number, path: string): void {
  if (typeof stat !== "number" && (stat.mode & sys.S_IFMT) === sys.S_IFIFO) return;
  throw invalid(path, "it is no FIFO");
}

function same(a: StdioOpen, b: StdioOpen): boolean {
  return (["stdin", "stdout", "stderr"] as const).every(
    (name) => a[name].path === b[name].path && a[name].stream === b[name].stream,
  );
}

function invalid(subject: string, reason: string): BlazarError {
  return blazarError("InvalidArgument", "open stdio", reason, { subject });
}
