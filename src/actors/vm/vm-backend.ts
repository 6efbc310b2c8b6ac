/**
 * Sandboxes that are microVMs: the backend contract on top of vm-boot and {@link GuestVm}.
 *
 * Owns the VM of each sandbox that is being made or runs, by the sandbox's id. It knows nothing of the sandbox's chart but
 * the events that it takes.
 */
import { dirname } from "node:path";
import { map, merge, type Observable } from "rxjs";
import type {
  AdoptedSandbox,
  Backend,
  BackendContainer,
  BackendOpening,
  ContainerSpec,
  KnownProcess,
  SandboxBackend,
} from "../../backends/backend.ts";
import { blazarError } from "../../contracts/errors.ts";
import type { GuestShell, ShellListener, ShellRequest } from "../../contracts/guest-shell.ts";
import type { Histories } from "../../contracts/history.ts";
import type { LogName } from "../../contracts/inspection.ts";
import type { PodNetworks } from "../../contracts/network.ts";
import type { PodNetwork } from "../../contracts/pod-network.ts";
import type { PortForwards } from "../../contracts/port-forward.ts";
import type { PodLimits, SandboxSpec } from "../../contracts/sandbox.ts";
import type { Cgroups, GroupLimits, RootfsStore } from "../../contracts/storage.ts";
import type { LogEnd, VmShape } from "../../contracts/vm.ts";
import type { SandboxEvent } from "../../machines/sandbox.setup.ts";
import type { vmBootMachine } from "../../machines/vm-boot.machine.ts";
import type { GuestSpec } from "../guest/setup.ts";
import { askedWay, type PodVms, type WantedVm } from "../supply/vm-supply.ts";
import { TakeOver, type TakeOverPorts } from "./adoption/take-over.ts";
import { VmFacts } from "./adoption/vm-facts.ts";
import { bindVmBootMachine } from "./bindings.ts";
import { VmBoot } from "./boot/vm-boot.actor.ts";
import type { VmBootPorts } from "./boot/vm-boot-options.ts";
import { guestEvents$, vmmEvents$, withOutOfMemory } from "./chart-events.ts";
import { ForwardingNode, PortForwarding } from "./forward/port-forwarding.ts";
import { GuestContainer, type GuestContainerPorts } from "./guest-container.ts";
import type { GuestVm } from "./guest-vm.ts";
import { sharesBelow } from "./place.ts";
import { PodConnection } from "./pod-connection.ts";
import { openShell } from "./shell/shell.ts";
import { checkPodAnnotations } from "./sizing/pod-annotations.ts";
import { bounding, checkHeld, firstLimits, guestLimits, hostCpuLimit } from "./sizing/pod-limits.ts";
import { nicsFor, type SizedVm, sizeOf, type VmSize } from "./sizing/sizing.ts";

export interface VmBackendPorts extends VmBootPorts, GuestContainerPorts, Pick<TakeOverPorts, "adoptVm"> {
  readonly deadlines: VmBootPorts["deadlines"];
  readonly pace: GuestContainerPorts["pace"];
  readonly histories: Histories;
  readonly networks: PodNetworks;
  readonly forwards: PortForwards;
  readonly rootfs: RootfsStore;
  readonly supply: PodVms;
  readonly cgroups: VmBootPorts["cgroups"] &
    Pick<Cgroups, "memoryLimit" | "limitsOf" | "killedForMemory" | "limitCpu">;
  /** What a pod without limits gets. */
  readonly defaultShape: VmShape;
  /** No VM is larger. */
  readonly mostSize: VmSize;
  /** Bytes; the memory of VMs comes in multiples of it. */
  readonly memoryStep: number;
  /** How many times a pod's limits its VM holds. */
  readonly headroom: number;
  /** What a VMM takes beside its guest's memory. */
  readonly vmmBytes: (vcpus: number) => number;
}

/** For the host's cache of what a pod reads and writes, beside its VM. */
const LEAST_SPARE_BYTES = 256 * 2 ** 20;
/** Threads of QEMU and of vCPUs, file servers with a process for each lock that is waited for, pasta. */
const MOST_TASKS = 2048;

const NO_LOG: LogEnd = { bytes: new Uint8Array(), written: 0 };

export class VmBackend implements Backend {
  readonly name = "vm";
  readonly boot: typeof vmBootMachine;
  private readonly sandboxes = new Map<string, VmSandbox>();
  private readonly forwarding: ForwardingNode;

  constructor(private readonly ports: VmBackendPorts) {
    this.forwarding = new ForwardingNode(ports.forwards, ports.deadlines);
    this.boot = bindVmBootMachine(
      (id) => this.sandbox(id).vmBoot,
      (id) => this.sandbox(id).logger,
    );
  }

  open(opening: BackendOpening): VmSandbox {
    const { id } = opening.spec;
    const sandbox = new VmSandbox(opening, this.ports, this.forwarding, () => {
      if (this.sandboxes.get(id) === sandbox) this.sandboxes.delete(id);
    });
    this.sandboxes.set(id, sandbox);
    return sandbox;
  }

  private sandbox(id: string): VmSandbox {
    const sandbox = this.sandboxes.get(id);
    if (sandbox !== undefined) return sandbox;
    throw blazarError("SandboxNotFound", "find the sandbox's VM", "no such sandbox", { subject: id });
  }
}

/** One sandbox's VM, from its reservation to its end. */
class VmSandbox implements SandboxBackend {
  private readonly sized: SizedVm;
  private readonly asked: string | undefined;
  private readonly network: PodConnection;
  /** From {@link prepare} on. */
  private boot: VmBoot | undefined;
  /** `cgroup.procs` files that the VMM belongs into. */
  private procs: readonly string[] = [];
  /** From {@link adopt} on. */
  private takenOver: TakeOver | undefined;
  /** Stands for a VM that could not be taken over. */
  private lost: GuestVm | undefined;

  constructor(
    private readonly opening: BackendOpening,
    private readonly ports: VmBackendPorts,
    node: ForwardingNode,
    private readonly onFinished: () => void,
  ) {
    const { spec, facts, resources, logger } = opening;
    if (facts === undefined) checkPodAnnotations(spec.annotations);
    this.asked = facts === undefined ? askedWay(spec.annotations) : undefined;
    this.sized = facts === undefined ? sizedFor(spec, ports) : sizeOfLeft(facts);
    // containerd dials in the host's own namespace for a pod without one
    const forwarding =
      spec.netnsPath === "" ? undefined : new PortForwarding(spec, node, () => this.vm.liveLink, logger);
    this.network = new PodConnection(spec, ports.networks, resources, forwarding, logger);
  }

  /** Throws VmmExited: there is nothing to boot before {@link prepare}. */
  get vmBoot(): VmBoot {
    return this.boot ?? this.noVm();
  }

  /** More than a VMM that does what it shall ever takes: these are for one that somebody has taken over. */
  get limits(): GroupLimits {
    const { memoryBytes, vcpus } = this.sized.size;
    const own = this.ports.vmmBytes(vcpus);
    return {
      memoryBytes: memoryBytes + own + Math.max(LEAST_SPARE_BYTES, memoryBytes / 2),
      tasks: MOST_TASKS,
    };
  }

  /** Whole from {@link prepare} on: the pod's links are counted in it. */
  get shape(): VmShape {
    const nics = nicsFor(this.network.current.links.length, this.ports.defaultShape.nics);
    return { ...this.sized.size, nics };
  }

  get logger() {
    return this.opening.logger;
  }

  async prepare(signal: AbortSignal): Promise<void> {
    for (const warning of this.sized.warnings) this.logger.warn({ vm: this.shape }, warning);
    await this.network.read(signal);
    this.boot = this.makeBoot();
    const warm = this.ports.supply.reserve(this.wanted);
    if (warm !== undefined) this.boot.reserve(warm);
    this.boot.enter(this.procs);
    // the start and the containers follow
    this.ports.rootfs.warm?.();
  }

  enter(procs: readonly string[]): void {
    this.procs = procs;
    this.boot?.enter(procs);
  }

  async adopt(
    facts: ReadonlyMap<string, unknown>,
    known: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<AdoptedSandbox> {
    const boot = this.makeBoot();
    this.boot = boot;
    const takeOver = this.newTakeOver(facts, known);
    this.takenOver = takeOver;
    boot.ownUser(takeOver.claimUser());
    // what the pod has of the host is the pod's before any other asks for it
    const connected = this.network.adopt(this.procs);
    connected.catch(() => undefined);
    const vm = await takeOver.reachVmm(signal);
    boot.takeOver(vm);
    const [containers] = await Promise.all([takeOver.reachGuest(vm, signal), connected]);
    await takeOver.takeUpWhatHangsOn(vm);
    await this.network.goOn((changed) => this.applyNetwork(changed));
    return { pid: vm.vm.identity.pid, containers };
  }

  async adoptContainer(id: string, processes: readonly KnownProcess[]): Promise<BackendContainer> {
    const { takenOver, ports } = this;
    if (takenOver === undefined) return this.noVm();
    const inside = takenOver.insideOf(id);
    const logger = this.logger.child({ container: id });
    const names = { id, shortId: inside?.disk ?? "" };
    // its VM may be lost: then there is what it has on the host
    this.lost ??= this.boot?.vm ?? takenOver.lost();
    const container = new GuestContainer(this.boot?.vm ?? this.lost, ports, names, logger);
    await container.adopt(inside, inside !== undefined && takenOver.has(inside.disk), processes);
    return container;
  }

  endBoot(): void {
    this.boot?.endTurn();
  }

  vmmEvents$(): Observable<SandboxEvent> {
    const { cgroups } = this.ports;
    const groups = this.procs.map((file) => dirname(file));
    const killed = withOutOfMemory(() => cgroups.killedForMemory(groups));
    return merge(vmmEvents$(this.vm.vm, this.logger).pipe(map(killed)), this.network.lost$);
  }

  agentEvents$(): Observable<SandboxEvent> {
    const { vm } = this;
    return guestEvents$(vm.link ?? vm.liveLink, vm.vm, (returned) => vm.volumes.writeBack(returned));
  }

  container(spec: ContainerSpec): BackendContainer {
    const logger = this.logger.child({ container: spec.id });
    return new GuestContainer(this.vm, this.ports, spec, logger);
  }

  async shutDown(signal: AbortSignal): Promise<void> {
    const { liveLink, vm } = this.vm;
    const deadlineMs = this.ports.deadlines.guestShutdown;
    await liveLink.request("sandbox.shutdown", {}, { deadlineMs, signal });
    await vm.exited;
  }

  async end(): Promise<void> {
    try {
      await this.network.close();
      await this.boot?.end();
    } finally {
      // what was being connected meanwhile is connected now
      await this.network.close();
    }
  }

  async finish(): Promise<void> {
    await this.boot?.finish();
    this.onFinished();
  }

  /** What may be refused comes first: then nothing has changed. A group on the host that is gone has a VM that ends. */
  async resize(limits: PodLimits, before: SandboxSpec): Promise<void> {
    checkHeld(limits, this.size(), before);
    const { cgroups } = this.ports;
    const { cgroupParent } = before;
    const bounds = cgroupParent === "" ? limits : bounding(limits, cgroups.limitsOf(cgroupParent));
    const { guestRequest: deadlineMs } = this.ports.deadlines;
    await this.vm.liveLink.request("sandbox.limit", { cgroup: guestLimits(bounds) }, { deadlineMs });
    const groups = this.procs.map((file) => dirname(file));
    await cgroups.limitCpu(groups, hostCpuLimit(bounds));
  }

  size(): VmSize {
    return this.sized.size;
  }

  info(): Record<string, string> {
    const vm = this.boot?.vm;
    if (vm === undefined) return { vmmTimeline: "[]", acceleration: "", boot: "", source: "", vm: "" };
    const { id, source } = vm;
    return {
      vmmTimeline: JSON.stringify(vm.vm.timeline),
      acceleration: vm.vm.acceleration,
      vcpus: String(this.shape.vcpus),
      memory: String(this.shape.memoryBytes),
      ...(this.sized.warnings.length === 0 ? {} : { sizing: this.sized.warnings.join("; ") }),
      boot: this.wayOf(vm),
      source,
      vm: id,
    };
  }

  async diagnostics(): Promise<string> {
    return (await this.boot?.vm?.vm.diagnostics()) ?? "";
  }

  async readLog(log: LogName): Promise<LogEnd> {
    const vm = this.boot?.vm;
    if (log === "agent") return vm?.link?.log ?? NO_LOG;
    return (await vm?.vm.readLog(log)) ?? NO_LOG;
  }

  async openShell(request: ShellRequest, listener: ShellListener): Promise<GuestShell> {
    const { deadlines } = this.ports;
    return await openShell(this.vm.liveLink, request, listener, { deadlines, logger: this.logger });
  }

  /** In the words of the annotation that asks for a way. */
  private wayOf({ id, source }: GuestVm): string {
    if (id !== this.opening.spec.id) return "pool";
    return source === "boot" ? "cold" : "clone";
  }

  /** Throws VmmExited. */
  private get vm(): GuestVm {
    return this.boot?.vm ?? this.noVm();
  }

  private noVm(): never {
    throw blazarError("VmmExited", "reach the VMM", "it does not run", { subject: this.opening.spec.id });
  }

  private get wanted(): WantedVm {
    const { asked, shape, network } = this;
    return { shape, asked, network: network.isHosts ? network.current : undefined };
  }

  private newTakeOver(facts: ReadonlyMap<string, unknown>, known: ReadonlySet<string>): TakeOver {
    const { spec, directory, resources, logger } = this.opening;
    const { id, sharedDirectory } = spec;
    const history = this.ports.histories.of(id);
    const shares = sharesBelow(directory, sharedDirectory);
    return new TakeOver(
      facts,
      known,
      { id, resources, logger, history, groups: this.procs, shares },
      this.ports,
    );
  }

  private makeBoot(): VmBoot {
    const { spec, directory, resources, logger } = this.opening;
    const { network, ports } = this;
    const options = {
      id: spec.id,
      wanted: this.wanted,
      guest: this.guestSpec(),
      shares: sharesBelow(directory, spec.sharedDirectory),
      connectNetwork: network.exists ? (vm: GuestVm) => network.connect(vm, this.procs) : undefined,
      followNetwork: () => network.watch((changed) => this.applyNetwork(changed)),
      resources,
      supply: ports.supply,
      logger,
    };
    return new VmBoot(options, ports);
  }

  /** A change that comes before the guest is told goes with its set-up. */
  private guestSpec(): GuestSpec {
    const { opening, network } = this;
    return {
      ...opening.spec,
      hostNetwork: network.isHosts,
      limits: this.ports.cgroups.limitsOf(opening.spec.cgroupParent).memory ? firstLimits(opening.spec) : {},
      get network() {
        return network.current;
      },
    };
  }

  /** Without a link there is a set-up to come, which has the change. */
  private async applyNetwork(network: PodNetwork): Promise<void> {
    const { guestRequest: deadlineMs } = this.ports.deadlines;
    await this.boot?.vm?.link?.request("network.apply", { network }, { deadlineMs });
  }
}

/** A VM that runs has the size that it was given, whatever this daemon would give it. */
function sizeOfLeft(facts: ReadonlyMap<string, unknown>): SizedVm {
  const { vcpus = 0, memoryBytes = 0 } = new VmFacts(facts).vm?.shape ?? {};
  return { size: { vcpus, memoryBytes }, warnings: [] };
}

/** Throws InvalidSpec, before anything is made for the sandbox. */
function sizedFor(spec: SandboxSpec, ports: VmBackendPorts): SizedVm {
  const {
    defaultShape: defaults,
    mostSize: most,
    memoryStep: stepBytes,
    headroom,
    vmmBytes,
    cgroups,
  } = ports;
  const rules = { defaults, most, stepBytes, headroom, vmmBytes };
  const { cgroupParent } = spec;
  const isPart = cgroupParent !== "" && !cgroups.limitsOf(cgroupParent).memory;
  return sizeOf(spec, rules, cgroups.memoryLimit(cgroupParent), isPart);
}
