/** A reconciler on a host that is a list: what is there, what journals name, what containerd knows, what was done. */
import { vi } from "vitest";
import { Claims } from "../../../../src/actors/reconcile/claims.ts";
import { type LookPorts, looksAt } from "../../../../src/actors/reconcile/looks.ts";
import { Reconciler } from "../../../../src/actors/reconcile/reconciler.actor.ts";
import { lookAtSandboxes } from "../../../../src/actors/reconcile/sandboxes.ts";
import type { ResourcePorts } from "../../../../src/actors/resources/kinds/kind.ts";
import type { HostResource } from "../../../../src/actors/resources/kinds/kinds.ts";
import { DEFAULT_DEADLINES } from "../../../../src/contracts/deadlines.ts";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { EmptyGroup, OwnProcess, PlacedName } from "../../../../src/contracts/node-view.ts";
import type { StoredSandbox } from "../../../../src/contracts/reconcile.ts";
import { CapturedLogger } from "../../../support/captured-logger.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";

export const MINUTE = 60_000;
/** The keeper's pid. */
export const KEEPER = 77;
/** Field 22 of /proc/PID/stat, of the daemon. */
export const DAEMON_STARTED = 500;

export class Bench {
  readonly logger = new CapturedLogger();
  /** By directory. */
  readonly names = new Map<string, PlacedName[]>();
  mounts: string[] = [];
  groups: EmptyGroup[] = [];
  processes: OwnProcess[] = [];
  deadJoints: string[] = [];
  leases: { key: string; holder: string }[] = [];
  keeper = {
    connected: true,
    processes: [] as { id: string; identity: { pid: number; startTime: number } }[],
    stdio: [] as string[],
  };
  /** Undefined: containerd does not answer. */
  stored: StoredSandbox[] | undefined = [];
  readonly sandboxes = new Map<string, Date>();
  readonly journal: HostResource[] = [];
  journalsReadable = true;
  incomplete = false;
  ownScratch: string | undefined = "/scratch";
  readonly done: string[] = [];
  /** What is done and fails. */
  readonly failing = new Set<string>();
  readonly reconciler: Reconciler;

  constructor() {
    const undo = this.undo();
    const { logger } = this;
    const now = () => Date.now();
    const ports: LookPorts = {
      view: {
        names: async (directory) => this.names.get(directory) ?? [],
        mounts: async () => this.mounts,
        emptyGroups: async () => this.groups,
        processes: async (directories) =>
          this.processes.filter(({ files }) =>
            files.some((file) => directories.some((each) => file.startsWith(`${each}/`))),
          ),
        deadJoints: async (known) => this.deadJoints.filter((path) => !known(path)),
      },
      keeper: {
        ...{ closeStdio: (id: string) => this.note(`close ${id}`) },
        ...{ pid: KEEPER, connected: true },
        inventory: () => this.keeper,
      },
      images: { held: async () => this.leases },
      ...{ undo, now, stateDirectory: "/state", startTime: DAEMON_STARTED },
      storedSandboxes: async () => new Set((await this.list()).map(({ id }) => id)),
      ownScratch: async () => this.ownScratch,
      isConnected: (path) => this.journal.some((each) => each.kind === "network" && each.netnsPath === path),
    };
    Object.defineProperty(ports.keeper, "connected", { get: () => this.keeper.connected });
    const looks = {
      ...looksAt(ports),
      sandbox: lookAtSandboxes({
        ...{ store: { list: () => this.list() }, sandboxer: "blazar", now },
        sandboxes: {
          ids: () => [...this.sandboxes.keys()],
          status: (id) => ({ createdAt: this.sandboxes.get(id) ?? new Date() }),
          shutdown: async (id) => {
            await this.note(`shutdown ${id}`);
            this.sandboxes.delete(id);
          },
        },
      }),
    };
    const deadlines = DEFAULT_DEADLINES;
    this.reconciler = new Reconciler({ looks, claims: () => this.claims(), undo, deadlines, logger, now });
  }

  /** A directory or a file that was made long ago, or `changedAt`. */
  put(directory: string, name: string, kind: "directory" | "file" = "directory", changedAt = 0): void {
    const placed = { name, isDirectory: kind === "directory", isFile: kind === "file", uid: 0, changedAt };
    this.names.set(directory, [...(this.names.get(directory) ?? []), placed]);
  }

  /** The reconciler looks at once, and then every minute: this many times in all. */
  async looks(count: number): Promise<void> {
    this.reconciler.start(MINUTE);
    await vi.advanceTimersByTimeAsync(0);
    for (let look = 1; look < count; look++) await vi.advanceTimersByTimeAsync(MINUTE);
  }

  told(level: string): unknown[] {
    return this.logger.lines
      .filter((line) => line.level === level)
      .map(({ fields, message }) => fields["what"] ?? message);
  }

  private async list(): Promise<StoredSandbox[]> {
    if (this.stored !== undefined) return this.stored;
    throw blazarError("RemoteUnavailable", "call containerd", "it does not answer");
  }

  private async claims(): Promise<Claims> {
    if (!this.journalsReadable) throw blazarError("HostResource", "read the journals", "EIO");
    const claims = new Claims(this.incomplete);
    for (const resource of this.journal) claims.add(resource);
    return claims;
  }

  private async note(what: string): Promise<void> {
    if (this.failing.has(what)) throw blazarError("HostResource", "undo", "busy", { subject: what });
    this.done.push(what);
  }

  private undo(): ResourcePorts {
    return {
      ...new MemoryHost().ports,
      keeper: {
        inventory: () => this.keeper,
        signal: (id, signal) => this.note(`signal ${id} ${signal}`),
        exited: async (id) => ({ id, code: -1, signal: 9 }),
        forget: (id) => this.note(`forget ${id}`),
        openStdio: () => Promise.reject(new Error("nobody knows its paths")),
      },
      files: {
        removeTree: (path) => this.note(`rm -r ${path}`),
        removeFile: (path) => this.note(`rm ${path}`),
      },
      images: { release: (key, holder) => this.note(`release ${key} of ${holder}`) },
      cgroups: { remove: ([first]) => this.note(`rmdir ${first}`) },
      volumes: { unmount: ({ target }) => this.note(`umount ${target}`) },
      networks: { disconnect: ({ id, netnsPath }) => this.note(`disconnect ${netnsPath || id}`) },
    };
  }
}
