/**
 * What is known of a process, from its registration to its deletion: containerd is answered from this.
 */
import type { StdioPaths } from "../../contracts/keeper.ts";
import { type Deferred, deferred } from "../../lib/async.ts";
import type { FoundProcess } from "../../machines/process.machine.ts";
import type { GuestProcess, GuestStdio } from "../../protocol/guest/messages.ts";

/** How a process ended. */
export interface ProcessExitRecord {
  readonly exitStatus: number;
  readonly exitedAt: Date;
}

export interface ProcessRecordOptions {
  /** "" for the init process. */
  readonly execId: string;
  /** Task pid: unique on the node, and never the number of a host process. */
  readonly pid: number;
  readonly paths: StdioPaths;
  readonly terminal: boolean;
  /** The process to run; undefined for init, whose process is part of the container's creation. */
  readonly process: GuestProcess | undefined;
  /** What an earlier daemon knew of it. Default: it is new. */
  readonly known?: {
    readonly started: boolean;
    readonly exit: ProcessExitRecord | undefined;
    readonly streams: GuestStdio | undefined;
  };
}

export class ProcessRecord {
  readonly execId: string;
  readonly pid: number;
  readonly paths: StdioPaths;
  readonly terminal: boolean;
  process: GuestProcess | undefined;
  exit: ProcessExitRecord | undefined;
  started: boolean;
  /** Its streams on the guest's link, of a process that an earlier daemon has left. */
  streams: GuestStdio | undefined;
  private readonly ending: Deferred<ProcessExitRecord> = deferred();

  constructor({ execId, pid, paths, terminal, process, known }: ProcessRecordOptions) {
    this.execId = execId;
    this.pid = pid;
    this.paths = paths;
    this.terminal = terminal;
    this.process = process;
    this.started = known?.started ?? false;
    this.streams = known?.streams;
    if (known?.exit !== undefined) this.end(known.exit);
  }

  /** Where its chart begins if an earlier daemon has left it. */
  get found(): FoundProcess {
    if (this.exit !== undefined) return { state: "exited", status: this.exit.exitStatus };
    return { state: this.started ? "running" : "pending", status: 0 };
  }

  /** Resolves at the exit. */
  get exited(): Promise<ProcessExitRecord> {
    return this.ending.promise;
  }

  /** It runs, or may run: something has to be killed. */
  get mayRun(): boolean {
    return this.exit === undefined && (this.started || this.execId === "");
  }

  end(exit: ProcessExitRecord): void {
    if (this.exit !== undefined) return;
    this.exit = exit;
    this.ending.resolve(exit);
  }
}
