/**
 * A whole host in memory for the actors: fake driver, guests and keeper, storage and cgroups that only keep lists.
 *
 * What exists "on the host" at any time is in {@link MemoryHost.resources}: after every sandbox is removed it must be empty.
 */
import { dirname } from "node:path";
import type { Host } from "../../../src/actors/host.ts";
import type { HostResource, Journal } from "../../../src/actors/resources/journal.ts";
import { VmSupply } from "../../../src/actors/supply/vm-supply.ts";
import { UserPool } from "../../../src/actors/vm/users.ts";
import { DEFAULT_DEADLINES } from "../../../src/contracts/deadlines.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { RootfsPlan } from "../../../src/contracts/storage.ts";
import type { TaskEvent } from "../../../src/contracts/task.ts";
import { nodeText } from "../../../src/lib/text.ts";
import { ociSpecs } from "../../../src/oci/spec/translate.ts";
import { CapturedLogger } from "../captured-logger.ts";
import { FakeKeeperHost } from "../fake-keeper/keeper.ts";
import { FakeVmmDriver, type FakeVmmOptions } from "../fake-vmm/driver.ts";

/** Steps of the host that a test may have fail, once each. */
export type HostFault =
  | "makeDirectory"
  | "apply"
  | "release"
  | "removeTree"
  | "makeCgroup"
  | "enterCgroup"
  | "removeCgroup"
  | "connectNetwork"
  | "disconnectNetwork";

export class MemoryHost {
  /** Names of everything that exists and somebody has to undo. */
  readonly resources = new Set<string>();
  readonly journals = new Map<string, MemoryJournal>();
  readonly faults = new Set<HostFault>();
  readonly events: TaskEvent[] = [];
  readonly logger = new CapturedLogger();
  readonly keeper = new FakeKeeperHost();
  /** Whether a spare disk can be moved to where a container's is wanted. */
  movesSpares = true;
  readonly driver: FakeVmmDriver;
  readonly host: Host;

  constructor(options: FakeVmmOptions = {}) {
    this.driver = new FakeVmmDriver(options);
    const client = this.keeper.connect();
    const planOf = (containerId: string, shareDirectory: string): RootfsPlan => ({
      containerId,
      directory: `${shareDirectory}/${containerId}`,
      layers: { target: `${shareDirectory}/${containerId}/rootfs`, lower: ["/layer"] },
      disk: { path: `/disks/${containerId}`, filesystem: "ext4", owned: true, readonly: false, kept: true },
      guest: { kind: "layers", path: `${containerId}/rootfs`, readonly: false },
      owner: undefined,
    });
    this.host = {
      driver: this.driver,
      supply: new VmSupply({ templates: undefined, parallelStarts: 2, now: Date.now }),
      keeper: client,
      stdio: client,
      files: {
        makeDirectory: async (path) => this.make("makeDirectory", `directory ${path}`),
        unmountBelow: async () => undefined,
        removeTree: async (path) => this.undo("removeTree", (name) => name.startsWith(`directory ${path}`)),
      },
      rootfs: {
        plan: async ({ containerId, shareDirectory }) => planOf(containerId, shareDirectory),
        apply: async (plan) => this.make("apply", `rootfs ${plan.directory}`),
        // files: what undoes them is no port
        makeSpare: async () => undefined,
        moveSpare: async () => this.movesSpares,
        release: async (plan) => this.undo("release", (name) => name === `rootfs ${plan.directory}`),
      },
      cgroups: {
        plan: async (id) => ({ directories: [`/cgroup/${id}`], procs: [`/cgroup/${id}/cgroup.procs`] }),
        make: async (directories) => {
          for (const each of directories) this.make("makeCgroup", `cgroup ${each}`);
        },
        enter: async (procs, pid) => {
          this.maybeFail("enterCgroup", procs.join(" "));
          for (const file of procs) this.grouped.set(pid, dirname(file));
        },
        remove: async (directories) => {
          this.refuseBusy(directories);
          this.undo("removeCgroup", (name) => directories.some((each) => name === `cgroup ${each}`));
        },
      },
      networks: {
        admit: () => undefined,
        connect: async (_, { id }) => this.make("connectNetwork", `network ${id}`),
        disconnect: async ({ id }) => this.undo("disconnectNetwork", (name) => name === `network ${id}`),
      },
      users: new UserPool(1000, 100),
      specs: ociSpecs,
      events: { publish: (event) => this.events.push(event) },
      logger: this.logger,
      deadlines: DEFAULT_DEADLINES,
      stateDirectory: "/state",
      openJournal: async (id) => {
        const journal = new MemoryJournal(() => this.journals.delete(id));
        this.journals.set(id, journal);
        return journal;
      },
      scratchDirectory: "/scratch",
      defaultVcpus: 1,
      defaultMemoryBytes: 2 ** 28,
      session: "test",
      text: nodeText,
      now: Date.now,
      randomHex: (bytes) => `${++this.counter}`.padStart(2 * bytes, "0"),
      hostResolvConf: async () => "nameserver 192.0.2.1\n",
    };
  }

  private counter = 0;
  /** Where processes have gone, by pid. */
  private readonly grouped = new Map<number, string>();

  /** The control group of a VM; undefined = the one that it was started in. */
  groupOf(id: string): string | undefined {
    return this.grouped.get(this.driver.vm(id).identity.pid);
  }

  /** As the kernel does: a group with a process in it stays. */
  private refuseBusy(directories: readonly string[]): void {
    const busy = this.driver.running.find((id) => directories.includes(this.groupOf(id) ?? ""));
    if (busy === undefined) return;
    throw blazarError("HostResource", "removeCgroup", "EBUSY", { subject: busy });
  }

  /** Everything that is still there, VMs, stdio and journals included. */
  remains(): string[] {
    return [
      ...this.resources,
      ...this.driver.running.map((id) => `VM ${id}`),
      ...[...this.keeper.stdio.keys()].map((id) => `stdio ${id}`),
      ...[...this.journals.keys()].map((id) => `journal ${id}`),
    ];
  }

  private make(fault: HostFault, name: string): void {
    this.maybeFail(fault, name);
    this.resources.add(name);
  }

  private undo(fault: HostFault, chosen: (name: string) => boolean): void {
    this.maybeFail(fault, "");
    for (const name of [...this.resources]) if (chosen(name)) this.resources.delete(name);
  }

  private maybeFail(fault: HostFault, subject: string): void {
    if (!this.faults.delete(fault)) return;
    throw blazarError("HostResource", fault, "a fault of the test", { subject });
  }
}

/** A journal without a file. */
class MemoryJournal implements Journal {
  private nextRef = 1;
  private readonly open = new Map<number, HostResource>();

  constructor(private readonly onClosed: () => void) {}

  async intend(resource: HostResource): Promise<number> {
    this.open.set(this.nextRef, resource);
    return this.nextRef++;
  }

  async amend(ref: number, resource: HostResource): Promise<void> {
    this.open.set(ref, resource);
  }

  async undone(ref: number): Promise<void> {
    this.open.delete(ref);
  }

  transition(): void {
    // nobody reads it
  }

  outstanding() {
    return [...this.open].map(([ref, resource]) => ({ ref, resource }));
  }

  async close(): Promise<void> {
    if (this.open.size === 0) this.onClosed();
  }
}
