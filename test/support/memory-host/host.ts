/**
 * A whole host in memory for the actors: fake driver, guests and keeper, storage and cgroups that only keep lists.
 *
 * What exists "on the host" at any time is in {@link MemoryHost.resources}: after every sandbox is removed it must be empty.
 */
import { dirname } from "node:path";
import { rehearsalVolumes } from "../../../src/actors/supply/ahead/rehearsal-volumes.ts";
import { Pace } from "../../../src/actors/supply/pace.ts";
import { DEFAULT_DEADLINES } from "../../../src/contracts/deadlines.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { FileServerSpec } from "../../../src/contracts/file-servers.ts";
import type { ProcessSpawn } from "../../../src/contracts/keeper.ts";
import type { CpuLimit } from "../../../src/contracts/sandbox.ts";
import type { TaskEvent } from "../../../src/contracts/task.ts";
import type { HostVolumes } from "../../../src/contracts/volumes.ts";
import { type ActorPorts, type ActorSettings, type Actors, wireActors } from "../../../src/daemon/actors.ts";
import { nodeText } from "../../../src/lib/text.ts";
import { HistoryHub } from "../../../src/observe/history/hub.ts";
import { ociSpecs } from "../../../src/oci/spec/translate.ts";
import { CapturedLogger } from "../captured-logger.ts";
import { FakeKeeperHost } from "../fake-keeper/keeper.ts";
import { FakeVmmDriver, type FakeVmmOptions } from "../fake-vmm/driver.ts";
import { FakeTemplateStore } from "../fake-vmm/template-store.ts";
import { MemoryForwards } from "./forwards.ts";
import { MemoryImages } from "./images.ts";
import { MemoryJournal } from "./journal.ts";
import { keeperOfVms } from "./keeper-of-vms.ts";
import { Life } from "./life.ts";
import { MemoryNetworks } from "./networks.ts";
import { podNetwork } from "./pods.ts";
import { MemoryRootfs } from "./rootfs.ts";
import { CountedUsers } from "./users.ts";
import { MemoryVolumes, volumeEntry } from "./volumes.ts";

/** Steps of the host that a test may have fail, once each. */
export type HostFault =
  | "makeDirectory"
  | "startFileServer"
  | "plan"
  | "apply"
  | "release"
  | "removeTree"
  | "makeCgroup"
  | "enterCgroup"
  | "limitCgroup"
  | "removeCgroup"
  | "planVolumes"
  | "mountVolume"
  | "unmountVolume"
  | "connectNetwork"
  | "disconnectNetwork";

const VOLUME_FAULTS: Partial<Record<keyof HostVolumes, HostFault>> = {
  plan: "planVolumes",
  mount: "mountVolume",
  unmount: "unmountVolume",
};

/** What a daemon can do something to the host by. */
const HELD = [
  ...([
    "driver",
    "keeper",
    "stdio",
    "files",
    "fileServers",
    "rootfs",
    "images",
    "cgroups",
    "volumes",
  ] as const),
  ...(["forwards", "networks", "events", "templates", "seccomp"] as const),
] as const satisfies readonly (keyof ActorPorts)[];

const NO_POOL: ActorSettings = {
  min: 0,
  max: 0,
  memoryLimit: 2 ** 40,
  pressureLimit: 100,
  rehearsalRoot: "/rehearsal",
};

export class MemoryHost {
  private users = new CountedUsers();
  /** Names of everything that exists and somebody has to undo. */
  readonly resources = new Set<string>();
  readonly journals = new Map<string, MemoryJournal>();
  readonly faults = new Set<HostFault>();
  readonly events: TaskEvent[] = [];
  readonly logger = new CapturedLogger();
  readonly keeper = new FakeKeeperHost();
  /** Pids of file servers that somebody has stopped. */
  readonly stoppedServers = new Set<number>();
  readonly driver: FakeVmmDriver;
  readonly volumes = new MemoryVolumes();
  readonly forwards = new MemoryForwards();
  readonly images = new MemoryImages({
    identify: async (lower) => Buffer.from(lower.join(":")).toString("hex"),
  });
  readonly rootfs: MemoryRootfs;
  readonly networks = new MemoryNetworks({
    otherwise: podNetwork(1),
    before: (call, id) => this.maybeFail(call === "connect" ? "connectNetwork" : "disconnectNetwork", id),
  });
  /** Templates of every shape, if the driver clones; see {@link FakeVmmOptions.templates}. */
  readonly templates: FakeTemplateStore | undefined;
  /** What the kernel has killed for want of memory, if it has. */
  outOfMemory: string | undefined;
  /** Of the pods' control groups, by CRI's cgroup_parent, in bytes. */
  readonly memoryLimits = new Map<string, number>();
  /** The pods' control groups that have a CPU limit. */
  readonly limitedCpus = new Set<string>();
  /** Of sandboxes' own control groups. */
  readonly cpuLimits = new Map<string, CpuLimit | undefined>();
  /** What happens to sandboxes; nothing is forgotten. */
  histories: HistoryHub = this.newHistories();
  /** What the daemon that lives now holds of this host. */
  ports: ActorPorts;
  /** Of that daemon. */
  life = new Life();

  constructor(options: FakeVmmOptions = {}) {
    this.driver = new FakeVmmDriver(options);
    this.rootfs = new MemoryRootfs(this.images, this.driver, {
      make: (step, name) => this.make(step, name),
      undo: (step, chosen) => this.undo(step, chosen),
      maybeFail: (step, subject) => this.maybeFail(step, subject),
    });
    const templates = this.driver.templates && new FakeTemplateStore(this.driver.templates);
    this.templates = templates;
    this.volumes.beforeCall = (call) => {
      const fault = VOLUME_FAULTS[call];
      if (fault !== undefined) this.maybeFail(fault, call);
    };
    for (const { source, readonly } of rehearsalVolumes(NO_POOL.rehearsalRoot).volumes)
      this.volumes.put(
        source,
        [volumeEntry("", readonly ? "directory" : "file")],
        readonly ? {} : { type: "file" },
      );
    this.ports = this.newPorts();
  }

  private newHistories(): HistoryHub {
    const all = Number.POSITIVE_INFINITY;
    return new HistoryHub({ keptCount: all, keptBytes: all, now: Date.now, logger: this.logger });
  }

  /**
   * The daemon is dead, and another one is made: it holds the host by ports of its own. `recoverMemory` of recover.ts is yours to call.
   * @param onEnd called at the end of the new daemon's life
   */
  restart(onEnd?: () => void): void {
    this.life.end();
    this.driver.daemonDies();
    this.networks.daemonDies();
    this.forwards.daemonDies();
    this.volumes.daemonDies();
    this.templates?.leases.clear();
    this.users = new CountedUsers();
    this.histories = this.newHistories();
    this.live(onEnd);
  }

  /** From now on there is a daemon whose life can end. */
  live(onEnd?: () => void): void {
    const life = new Life(onEnd);
    this.life = life;
    const ports = this.newPorts();
    const held = HELD.map((name) => [name, ports[name] && life.holding(ports[name] as object)]);
    this.ports = { ...ports, ...Object.fromEntries(held) };
  }

  private newPorts(): ActorPorts {
    const client = this.keeper.connect();
    const { life } = this;
    return {
      driver: this.driver,
      histories: this.histories,
      templates: this.templates,
      pressure: async () => undefined,
      pace: new Pace(2, Date.now),
      keeper: keeperOfVms(client, this.driver),
      stdio: client,
      files: {
        makeDirectory: async (path) => this.make("makeDirectory", `directory ${path}`),
        unmountBelow: async () => undefined,
        removeFile: async (path) => void this.driver.disks.delete(path),
        removeTree: async (path) => this.undo("removeTree", (name) => name.startsWith(`directory ${path}`)),
      },
      fileServers: {
        start: async (spec, signal) => {
          this.maybeFail("startFileServer", spec.id);
          return client.spawn(serverProcess(spec), signal);
        },
        isStopped: async ({ pid }) => this.stoppedServers.has(pid),
        exited: (id) => client.exited(id),
      },
      rootfs: this.rootfs.port(),
      images: {
        hold: (key, holder) => this.images.hold(key, holder),
        release: (key, holder) => this.rootfs.giveBack(key, holder),
      },
      cgroups: {
        killedForMemory: () => this.outOfMemory,
        memoryLimit: (parent) => this.memoryLimits.get(parent),
        limitsOf: (parent) => ({ memory: this.memoryLimits.has(parent), cpu: this.limitedCpus.has(parent) }),
        plan: async (id) => ({ directories: [`/cgroup/${id}`], procs: [`/cgroup/${id}/cgroup.procs`] }),
        make: async (directories) => {
          for (const each of directories) this.make("makeCgroup", `cgroup ${each}`);
        },
        usage: async () => ({ "memory.current": "4096", "cpu.stat": "usage_usec 7" }),
        limitCpu: async (directories, cpu) => {
          this.maybeFail("limitCgroup", directories.join(" "));
          for (const each of directories) this.cpuLimits.set(each, cpu);
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
      volumes: this.volumes,
      seccomp: { compile: async ({ flags }) => ({ program: "BgAAAAAA/38=", flags }) },
      forwards: this.forwards,
      networks: this.networks,
      users: this.users,
      specs: ociSpecs,
      events: { publish: (event) => this.events.push(event) },
      logger: this.logger,
      deadlines: DEFAULT_DEADLINES,
      stateDirectory: "/state",
      journals: {
        incomplete: false,
        resources: () =>
          [...this.journals.values()].flatMap((journal) =>
            journal.outstanding().map(({ resource }) => resource),
          ),
      },
      openJournal: async (id) => {
        if (life.isOver) return new Promise(() => undefined);
        const journal = new MemoryJournal(() => this.journals.delete(id), life);
        this.journals.set(id, journal);
        return journal;
      },
      scratchDirectory: "/scratch",
      layerBytes: 2 ** 34,
      defaultShape: { vcpus: 1, memoryBytes: 2 ** 28, nics: 1 },
      mostSize: { vcpus: 8, memoryBytes: 2 ** 34 },
      memoryStep: 2 ** 25,
      headroom: 1,
      // an agent that has answered a request of a session answers it no more
      session: `test-${++this.sessions}`,
      text: nodeText,
      now: Date.now,
      randomHex: (bytes) => `${++this.counter}`.padStart(2 * bytes, "0"),
      hostResolvConf: async () => "nameserver 192.0.2.1\n",
      hostHosts: async () => "127.0.0.1\tlocalhost\n",
      hostName: () => "node-1",
    };
  }

  /** Puts the real actors on this host; starts nothing. */
  actors(settings: Partial<ActorSettings> = {}): Actors {
    return wireActors(this.ports, { ...NO_POOL, ...settings });
  }

  private counter = 0;
  private sessions = 0;
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
      ...[...this.keeper.processes.keys()].map((id) => `process ${id}`),
      ...[...this.keeper.stdio.keys()].map((id) => `stdio ${id}`),
      ...[...this.journals.keys()].map((id) => `journal ${id}`),
      ...[...(this.templates?.leases ?? [])].map(({ template }) => `lease on ${template.key}`),
      ...[...this.driver.disks].map((path) => `disk ${path}`),
      ...this.images.leases.map((lease) => `lease on image ${lease}`),
      ...this.rootfs.droppedImages.map((image) => `nobody held the image ${image}`),
      ...this.turns(),
      ...this.volumes.remains,
      ...this.forwards.remains,
      ...[...this.networks.joined.keys()].map((id) => `network ${id}`),
      ...this.users.inUse.map((uid) => `user ${uid}`),
    ];
  }

  /** Turns that nobody gave back. */
  private turns(): string[] {
    const { starts, guests, provisions } = this.ports.pace;
    const each = { starts, guests, provisions };
    return Object.entries(each).flatMap(([name, { running, queued }]) =>
      running + queued === 0 ? [] : [`${running} turns of ${name}, ${queued} waiting`],
    );
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

function serverProcess({ id, cgroups, maps }: FileServerSpec): ProcessSpawn {
  const nothing = { env: [], cwd: "/", groups: [], capabilities: [], files: [], rlimits: [] };
  return { id, argv: ["/fileserver", JSON.stringify(maps ?? {})], cgroups, ...nothing };
}
