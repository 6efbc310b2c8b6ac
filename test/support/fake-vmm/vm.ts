/**
 * A VM in memory: the {@link Vm} port with a fake guest in it and no process behind it.
 *
 * A test holds it by `die`, `shutDown` and `panic`; the code under test holds it by the port. Everything goes by the
 * scheduler.
 */
import { Observable, Subject } from "rxjs";
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import type {
  ByteLink,
  DiskFailed,
  LogEnd,
  Vm,
  VmDisk,
  VmImage,
  VmmEvent,
  VmNic,
  VmPort,
  VmSource,
  VmSpec,
  VmVitals,
} from "../../../src/contracts/vm.ts";
import { SIGKILL } from "../../../src/lib/signals.ts";
import { SLOT_SERIALS } from "../../../src/protocol/guest/messages.ts";
import { FakeGuest, type FakeGuestOptions } from "../fake-guest/guest.ts";
import { FakeByteLink } from "./byte-link-pair.ts";

/** What is wrong with a VM. May be changed while it runs. */
export interface VmFaults {
  /** `fails`: the VMM ends at once. `hangs`: it never answers. `slow`: it answers when a test says so. */
  launch?: "fails" | "hangs" | "slow";
  /** `silent`: accepts and says nothing. `garbage`: says no frame. `closes`: hangs up at once. `refuses`: no link. */
  agentLink?: "silent" | "garbage" | "closes" | "refuses";
  attachDisk?: BlazarError | "hangs";
  detachDisk?: BlazarError | "hangs";
  attachPort?: BlazarError | "hangs";
  detachPort?: BlazarError | "hangs";
  attachImage?: BlazarError | "hangs";
  detachImage?: BlazarError | "hangs";
  pause?: BlazarError | "hangs";
  resume?: BlazarError | "hangs";
  /** SIGKILL does not end it until {@link FakeVm.die}. */
  unkillable?: boolean;
}

/** What a clone or a fork has from the VM that it comes from. */
export interface Inherited {
  /** Names the life of the agent: clones of one template say the same. */
  readonly agent: string;
  readonly preparedDisks: readonly string[];
}

/** Id of the disk that a template's guest has. */
export const FAKE_TEMPLATE_DISK = "prepared";

export interface FakeVmOptions {
  readonly spec: VmSpec;
  readonly pid: number;
  readonly faults: VmFaults;
  readonly guest: Omit<FakeGuestOptions, "onPowerOff">;
  /** What a clone or a fork starts with. */
  readonly inherited?: Inherited | undefined;
  readonly schedule: (callback: () => void) => void;
  /** It has ended and been reaped. */
  readonly onExit: () => void;
}

interface Exit {
  readonly code: number;
  readonly signal: number;
}

/** What a launch goes through. */
const STEPS = {
  boot: ["spawned", "answering"],
  clone: ["spawned", "answering", "restored", "running"],
  fork: ["spawned", "answering", "running"],
} as const satisfies Record<VmSource["kind"], readonly string[]>;

export class FakeVm implements Vm {
  readonly id: string;
  readonly spec: VmSpec;
  readonly identity: { readonly pid: number; readonly startTime: number };
  readonly acceleration = "tcg";
  readonly nics: readonly VmNic[];
  readonly timeline: readonly { readonly step: string; readonly ms: number }[];
  /** Names the life of the agent. */
  readonly agent: string;
  readonly faults: VmFaults;
  readonly guest: FakeGuest;
  readonly disks = new Map<string, VmDisk>();
  readonly ports = new Map<string, VmPort>();
  /** By the serial that the guest finds each by: a slot's, or its own id. */
  readonly images = new Map<string, VmImage>();
  readonly events: Observable<VmmEvent>;
  readonly exited: Promise<Exit>;
  /** Set once it has ended. */
  exit: Exit | undefined;
  paused = false;
  private live = new Subject<VmmEvent>();
  private link: FakeByteLink | undefined;
  private resolveExited: (exit: Exit) => void = () => undefined;

  private cpuMs = 10;

  constructor(private readonly options: FakeVmOptions) {
    const { spec, pid, faults, guest, inherited, schedule } = options;
    this.id = spec.id;
    this.spec = spec;
    this.identity = { pid, startTime: pid };
    this.nics = nicsOf(spec, pid);
    this.faults = faults;
    this.timeline = STEPS[spec.source.kind].map((step, at) => ({ step, ms: at + 1 }));
    this.agent = inherited?.agent ?? guest.name ?? spec.id;
    this.exited = new Promise((resolve) => {
      this.resolveExited = resolve;
    });
    this.guest = new FakeGuest({
      schedule,
      ...guest,
      name: this.agent,
      hasPort: (port) => this.ports.has(port),
      onPowerOff: () => this.shutDown("guest-shutdown"),
    });
    this.inherit(inherited);
    this.events = new Observable((subscriber) => {
      if (this.exit === undefined) return this.live.subscribe(subscriber);
      subscriber.next({ type: "vmm.exited", ...this.exit });
      subscriber.complete();
      return undefined;
    });
  }

  async connectAgent(signal?: AbortSignal): Promise<ByteLink> {
    const operation = "connect to the guest's agent";
    this.checkAlive(operation);
    if (signal?.aborted === true) throw this.error("Cancelled", operation, "it was called off");
    if (this.faults.agentLink === "refuses") throw this.error("LinkClosed", operation, "nobody listens");
    if (this.link !== undefined) throw this.error("IllegalTransition", operation, "its port is in use");
    const link = new FakeByteLink(this.guest, this.options.schedule, () => {
      if (this.link === link) this.link = undefined;
    });
    this.link = link;
    this.options.schedule(() => this.greet(link));
    return link;
  }

  async attachDisk(disk: VmDisk): Promise<void> {
    this.checkAlive("attach a disk");
    if (!/^[a-z0-9-]{1,31}$/.test(disk.id))
      throw this.error("InvalidArgument", "attach a disk", "its id is not valid");
    await this.fault(this.faults.attachDisk);
    if (this.disks.has(disk.id)) throw this.error("QmpFailed", "attach a disk", `there is a disk ${disk.id}`);
    const isLocked = [...this.disks.values()].some(
      (other) => other.path === disk.path && !(other.readonly && disk.readonly),
    );
    if (isLocked) throw this.error("QmpFailed", "attach a disk", 'Failed to get "write" lock');
    this.disks.set(disk.id, disk);
  }

  async detachDisk(id: string): Promise<void> {
    this.checkAlive("detach a disk");
    await this.fault(this.faults.detachDisk);
    this.disks.delete(id);
  }

  async attachPort(port: VmPort): Promise<void> {
    this.checkAlive("attach a port");
    if (!/^[a-z0-9.]{1,31}$/.test(port.name))
      throw this.error("InvalidArgument", "attach a port", "its name is not valid");
    await this.fault(this.faults.attachPort);
    if (this.ports.has(port.name))
      throw this.error("QmpFailed", "attach a port", `there is a port ${port.name}`);
    this.ports.set(port.name, port);
  }

  async detachPort(name: string): Promise<void> {
    this.checkAlive("detach a port");
    await this.fault(this.faults.detachPort);
    this.ports.delete(name);
  }

  async attachImage(image: VmImage): Promise<string> {
    this.checkAlive("attach an image");
    await this.fault(this.faults.attachImage);
    const slot = SLOT_SERIALS.find((each) => !this.images.has(each));
    const serial = slot ?? image.id;
    if (slot === undefined) await this.attachDisk({ ...image, readonly: true });
    this.images.set(serial, image);
    return serial;
  }

  async detachImage(serial: string): Promise<void> {
    this.checkAlive("detach an image");
    await this.fault(this.faults.detachImage);
    // a guest that is lost cannot be asked to unmount it
    if (this.link !== undefined && this.guest.hasMounted(serial))
      throw this.error("IllegalTransition", "detach an image", `the guest has ${serial} mounted`);
    this.images.delete(serial);
    this.disks.delete(serial);
  }

  async pause(): Promise<void> {
    this.checkAlive("pause the VM");
    await this.fault(this.faults.pause);
    this.setPaused(true);
  }

  async resume(): Promise<void> {
    this.checkAlive("resume the VM");
    await this.fault(this.faults.resume);
    this.setPaused(false);
  }

  async kill(): Promise<void> {
    if (this.faults.unkillable !== true) this.options.schedule(() => this.die(-1, SIGKILL));
    await this.exited;
  }

  /** A guest that is silent waits for something that does not come. One whose port is silent runs in circles. */
  async vitals(): Promise<VmVitals> {
    const waits = this.guest.faults.silent === true;
    if (!waits) this.cpuMs += 60_000;
    return { cpuMs: this.cpuMs, spoke: !waits && this.faults.agentLink !== "silent" };
  }

  async diagnostics(): Promise<string> {
    return `the guest's console:\nfake guest of ${this.id}`;
  }

  async readLog(log: "vmm" | "console"): Promise<LogEnd> {
    const bytes = new TextEncoder().encode(`${log} of ${this.id}\n`);
    return { bytes, written: bytes.length };
  }

  /** The VMM ends, by whatever reason. */
  die(code: number, signal: number): void {
    if (this.exit !== undefined) return;
    this.exit = { code, signal };
    this.link?.break();
    this.options.onExit();
    this.resolveExited(this.exit);
    this.live.next({ type: "vmm.exited", code, signal });
    this.live.complete();
  }

  /** Whoever holds it by the port is no more: nobody is told of anything, and the link is cut. */
  forsake(): void {
    this.live = new Subject();
    this.link?.cut();
  }

  /** The file of a disk has another name. */
  moveDisk(from: string, to: string): void {
    for (const [id, disk] of this.disks) if (disk.path === from) this.disks.set(id, { ...disk, path: to });
  }

  /** Serials of the slots that show an image. */
  get slots(): string[] {
    return SLOT_SERIALS.filter((serial) => this.images.has(serial));
  }

  /** The guest powers off or resets, and the VMM with it. */
  shutDown(reason: string): void {
    if (this.exit !== undefined) return;
    this.live.next({ type: "vmm.guestShutdown", reason });
    this.options.schedule(() => this.die(0, 0));
  }

  /** The guest's kernel panics. */
  panic(): void {
    if (this.exit !== undefined) return;
    this.live.next({ type: "vmm.guestPanicked" });
    this.options.schedule(() => this.die(0, 0));
  }

  /** A request to a disk fails on the host. */
  failDisk(failure: Omit<DiskFailed, "type">): void {
    if (this.exit === undefined) this.live.next({ type: "vmm.diskFailed", ...failure });
  }

  private inherit(inherited: Inherited | undefined): void {
    for (const id of inherited?.preparedDisks ?? []) this.guest.preparedDisks.add(id);
    const { source } = this.spec;
    if (source.kind === "boot" || source.disk === undefined) return;
    this.disks.set(FAKE_TEMPLATE_DISK, { id: FAKE_TEMPLATE_DISK, path: source.disk, readonly: false });
  }

  private greet(link: FakeByteLink): void {
    if (link.closed) return;
    const { agentLink } = this.faults;
    if (agentLink === "silent") return;
    if (agentLink === "garbage") return link.send(new Uint8Array(64).fill(0x7f));
    if (agentLink === "closes") return link.break();
    this.guest.attach(link);
  }

  private setPaused(paused: boolean): void {
    if (this.paused === paused) return;
    this.paused = paused;
    this.live.next({ type: paused ? "vmm.paused" : "vmm.resumed" });
  }

  /** A hang ends with the VMM, as a command to a dead QEMU does. */
  private async fault(fault: BlazarError | "hangs" | undefined): Promise<void> {
    await new Promise<void>((resolve) => this.options.schedule(resolve));
    if (fault === "hangs") await this.exited;
    else if (fault !== undefined) throw fault;
    this.checkAlive("run a command");
  }

  private checkAlive(operation: string): void {
    if (this.exit !== undefined) throw this.error("VmmExited", operation, "the VMM has ended");
  }

  private error(code: BlazarError["code"], operation: string, reason: string): BlazarError {
    return blazarError(code, operation, reason, { subject: this.id });
  }
}

/** A VM's pid is its alone, and so are the names of its taps. */
function nicsOf({ nics }: VmSpec, pid: number): VmNic[] {
  return Array.from({ length: nics }, (_, index) => ({
    tap: `fake${pid}n${index}`,
    namespace: "/fake/parking",
  }));
}
