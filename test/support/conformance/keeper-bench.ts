/**
 * What the keeper's conformance suite works with: the bench that a keeper brings, and what tests of keepers send and hear.
 *
 * A bench is a keeper with the world around it: containerd's ends of FIFOs and Task connections, and a daemon
 * that can be killed and replaced.
 */
import { expect, vi } from "vitest";
import type {
  Keeper,
  OutputStream,
  ProcessFork,
  ProcessIdentity,
  ProcessSpawn,
  StartedProcess,
  StdioHandlers,
  StdioPaths,
} from "../../../src/contracts/keeper.ts";

/** containerd's end of a Task connection. */
export interface TaskCaller {
  /** Sends one ttrpc message and resolves with the next one that comes back. */
  call(message: Uint8Array): Promise<Uint8Array>;
  close(): void;
}

export interface KeeperBench {
  readonly keeper: Keeper;
  /** The daemon dies without a word; resolves with the keeper as its successor sees it. */
  restartDaemon(): Promise<Keeper>;
  /** Only the death of {@link restartDaemon}: nobody is connected until it is called. */
  killDaemon(): Promise<void>;
  /** The keeper dies; resolves when another one is in its place, and the daemon has reached it. */
  killKeeper(): Promise<void>;
  /** Whether it can make taps, as without root it cannot. */
  readonly taps: boolean;
  /** A network namespace, and how something changes in it; undefined without root. */
  network(): { readonly path: string; change(): void } | undefined;
  /** A process that runs until a signal ends it, and can be forked. */
  forkable(id: string): ProcessSpawn;
  /** Makes the FIFOs, as containerd does. */
  fifos(id: string, streams: readonly (keyof StdioPaths)[]): Promise<StdioPaths>;
  /** Reads a FIFO to its end. */
  readToEnd(path: string): Promise<string>;
  write(path: string, text: string): Promise<void>;
  connectTask(): Promise<TaskCaller>;
  dispose(): Promise<void>;
}

/** A process that runs a shell script (the fake knows `exit N` and `sleep N`). */
export function shell(id: string, script: string): ProcessSpawn {
  return {
    id,
    argv: ["/bin/sh", "-c", script],
    env: ["PATH=/usr/bin:/bin"],
    cwd: "/",
    groups: [],
    capabilities: [],
    files: [],
    cgroups: [],
    rlimits: [],
  };
}

/** A fork of a {@link KeeperBench.forkable} process: the same user, no capability, no file of its own, no name. */
export function forkOf(
  original: string,
  id: string,
  words: readonly string[] = ["", "", "0", "", ""],
): ProcessFork {
  return { id, original, words };
}

export function identityOf({ pid, startTime }: StartedProcess): ProcessIdentity {
  return { pid, startTime };
}

/** A ttrpc request with `text` as its payload. */
export function ttrpc(text: string, type = 1): Uint8Array {
  const payload = Buffer.from(text);
  const header = Buffer.alloc(10);
  header.writeUInt32BE(payload.length, 0);
  header.writeUInt32BE(1, 4);
  header.writeUInt8(type, 8);
  return Buffer.concat([header, payload]);
}

export function ttrpcText(message: Uint8Array): string {
  return Buffer.from(message.subarray(10)).toString();
}

/** Handlers that remember what they were told. */
export class StdioRecorder implements StdioHandlers {
  readonly acks: Record<OutputStream, { offset: number; window: number }> = {
    stdout: { offset: -1, window: 0 },
    stderr: { offset: -1, window: 0 },
  };
  readonly chunks: { offset: number; text: string }[] = [];
  inputEndedAt: number | undefined;
  /** How often it was told that the keeper has died. */
  losses = 0;

  acknowledged(stream: OutputStream, offset: number, window: number): void {
    this.acks[stream] = { offset, window };
  }

  input(offset: number, bytes: Uint8Array): void {
    this.chunks.push({ offset, text: Buffer.from(bytes).toString() });
  }

  inputEnd(offset: number): void {
    this.inputEndedAt = offset;
  }

  lost(): void {
    this.losses++;
  }

  get text(): string {
    return this.chunks.map(({ text }) => text).join("");
  }

  /** Waits until everything below `offset` has reached the FIFO. */
  async acked(stream: OutputStream, offset: number): Promise<void> {
    await vi.waitFor(() => expect(this.acks[stream].offset).toBe(offset), { timeout: 5_000 });
  }
}
