/**
 * QEMU's command line for a VM: a pure function of what the VM shall be (qemu-system-x86_64(1), microvm machine).
 *
 * The device set is the same for every VM. What could hurt the host is decided here, such as seccomp.
 * What depends on the accelerator comes as a parameter. It must not look at the host.
 */
import type { VmDisk, VmSpec } from "../../contracts/vm.ts";
import { AGENT_PORT_NAME } from "../../protocol/guest/messages.ts";
import { MOST_NICS, nicMac } from "../../protocol/guest/nics.ts";
import { wholeMebibytes } from "../common/spec.ts";
import type { Accelerator } from "./accelerator.ts";
import { blockNode, DISK_CONTROLLER, scsiDisk } from "./disks/disk-names.ts";
import { fileSetPath } from "./disks/file-sets.ts";
import { slotDevices, slotNodes } from "./disks/slot-names.ts";
import { PORT_CONTROLLER } from "./port-names.ts";

/** What QEMU keeps of the guest's console. Older bytes are overwritten: a guest cannot flood the host. */
export const CONSOLE_BYTES = 64 * 1024;
/** QMP name of the console's ring buffer. */
export const CONSOLE_ID = "console";
/** No new privileges, programs or scheduling, and no obsolete system calls. It forbids `exec:` migration. */
const SECCOMP = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/** The RTC: without one the kernel waits 2 s for it. No PIT: it would wake QEMU 36 times a second for nobody. */
export const MACHINE = "microvm,rtc=on,pit=off";

/** Where a guest's memory is. */
export type GuestMemory =
  /** Its own alone. */
  | { readonly kind: "own" }
  /** In a template's file, which is being made. */
  | { readonly kind: "saved"; readonly path: string }
  /** Copy-on-write over a template's. */
  | { readonly kind: "cloned"; readonly path: string; readonly protection: Protection };

/** What keeps a clone from writing to its template: the descriptor, or seals on the file (fcntl(2)). */
export type Protection = "readonly" | "sealed";

/** Descriptors of the sockets that QEMU listens on, and of the disk that is there from the start. */
export const CONTROL_SOCKET = 10;
export const AGENT_SOCKET = 11;
export const DISK = 7;
/** The first of the taps, and of the descriptors of vhost-net; a VM has at most MOST_NICS of each. */
const TAPS = 12;
const VHOSTS = TAPS + MOST_NICS;

const OWN: GuestMemory = { kind: "own" };

export interface CommandLineInput {
  /** Absolute path of qemu-system-x86_64. */
  readonly binary: string;
  readonly spec: VmSpec;
  readonly accelerator: Accelerator;
  /** Default: its own. */
  readonly memory?: GuestMemory;
  /** A disk that is there from the start, as descriptor {@link DISK}; undefined = none. */
  readonly disk?: Omit<VmDisk, "path"> | undefined;
  /** As QEMU shall open them. */
  readonly kernel: string;
  readonly initramfs: string;
  /** The host's kernel moves the frames of the NICs (vhost-net); its descriptors are there. Default: QEMU does. */
  readonly vhostNet?: boolean | undefined;
  /** QEMU was built with a filter of system calls. */
  readonly hasOwnFilter: boolean;
}

/** The program and its arguments. */
export function commandLine(input: CommandLineInput): string[] {
  return [
    input.binary,
    ...machine(input),
    ...boot(input),
    ...devices(),
    ...nics(input),
    ...(input.disk === undefined ? [] : diskArguments(input.disk)),
    ...slots(),
    ...incoming(input.memory),
    ...(input.hasOwnFilter ? ["-sandbox", SECCOMP] : []),
  ];
}

function machine({ spec, accelerator, memory = OWN }: CommandLineInput): string[] {
  const mebibytes = wholeMebibytes(spec.memoryBytes);
  return [
    ...["-name", escaped(spec.id)],
    ...["-M", `${MACHINE},memory-backend=memory`],
    // Same pages of two VMs become one (KSM) only where their memory is offered for it, and then each can tell by the time that
    // a write takes what the other has.
    ...["-object", `${memoryBackend(memory)},id=memory,size=${mebibytes}M,merge=off`],
    ...["-m", `${mebibytes}M`, "-smp", String(spec.vcpus)],
    ...["-accel", [accelerator.name, ...accelerator.options].join(","), "-cpu", accelerator.cpu],
    ...["-nodefaults", "-no-user-config", "-display", "none"],
    // a guest that ends stays until its console has been read; see vm.ts
    ...["-action", "reboot=shutdown,shutdown=pause,panic=pause"],
  ];
}

function memoryBackend(memory: GuestMemory): string {
  // A memfd has no transparent huge pages: a guest costs what it touches and, emulated, boots a tenth faster.
  if (memory.kind === "own") return "memory-backend-memfd,share=on";
  const file = `memory-backend-file,mem-path=${escaped(memory.path)}`;
  if (memory.kind === "saved") return `${file},share=on`;
  return memory.protection === "sealed" ? `${file},share=off` : `${file},share=off,readonly=on,rom=off`;
}

/** A clone waits until it is told what to load; see templates/restore.ts. */
function incoming(memory: GuestMemory = OWN): string[] {
  return memory.kind === "cloned" ? ["-incoming", "defer"] : [];
}

function boot(input: CommandLineInput): string[] {
  const { kernel, initramfs, accelerator, memory = OWN } = input;
  const images = ["-kernel", kernel, "-initrd", initramfs, "-append", kernelArguments(accelerator)];
  return [
    // a clone has booted: all of it is in its memory
    ...(memory.kind === "cloned" ? [] : images),
    ...["-chardev", `ringbuf,id=${CONSOLE_ID},size=${CONSOLE_BYTES}`, "-serial", `chardev:${CONSOLE_ID}`],
  ];
}

/** The kernel's command line. */
export function kernelArguments(accelerator: Accelerator): string {
  // Nobody loads a policy for the other security modules: their hooks would be called for nothing.
  const security = "lsm=landlock,lockdown,yama";
  const common = ["console=ttyS0", "quiet", "panic=-1", "reboot=t", "cryptomgr.notests", security];
  return [...common, ...accelerator.kernelArguments].join(" ");
}

function devices(): string[] {
  return [
    ...["-chardev", `socket,id=control,fd=${CONTROL_SOCKET},server=on,wait=off`],
    ...["-mon", "chardev=control,mode=control"],
    ...["-device", `virtio-serial-device,id=${PORT_CONTROLLER},max_ports=4`],
    // a server that does not wait: a restarted daemon finds it, and the guest boots meanwhile
    ...["-chardev", `socket,id=agent,fd=${AGENT_SOCKET},server=on,wait=off`],
    ...["-device", `virtserialport,bus=${PORT_CONTROLLER}.0,chardev=agent,name=${AGENT_PORT_NAME}`],
    ...["-device", `virtio-scsi-device,id=${DISK_CONTROLLER}`],
    // From the host: rng-builtin has a generator within QEMU, and copies of a process would go on with the same state.
    ...["-object", "rng-random,id=entropy,filename=/dev/urandom", "-device", "virtio-rng-device,rng=entropy"],
    // Its balloon is never filled: by it the guest's kernel tells which memory has been free for two seconds, and QEMU gives that back.
    // Without page-poison, a kernel that counts on such memory to be zero (init_on_free) reports none: in a clone it shows the template.
    ...["-device", "virtio-balloon-device,free-page-reporting=on,page-poison=off"],
  ];
}

/** Descriptors of a VM's taps, in the order of its NICs. */
export function tapDescriptors(nics: number): number[] {
  return Array.from({ length: nics }, (_, index) => TAPS + index);
}

/** Each NIC has a vhost-net of its own. */
export function vhostDescriptors(nics: number): number[] {
  return Array.from({ length: nics }, (_, index) => VHOSTS + index);
}

/** microvm has 24 places for virtio devices, of which the other devices take four; none can be plugged in later. */
function nics({ spec, vhostNet = false }: CommandLineInput): string[] {
  const vhosts = vhostDescriptors(spec.nics);
  return tapDescriptors(spec.nics).flatMap((fd, index) => [
    ...["-netdev", `tap,id=nic${index},fd=${fd}${vhostNet ? `,vhost=on,vhostfd=${vhosts[index]}` : ""}`],
    ...["-device", `virtio-net-device,netdev=nic${index},mac=${nicMac(index)}`],
  ]);
}

/** The same as when it is plugged into a running VM: what a template's guest has found, its clones' guests still have. */
function diskArguments(disk: Omit<VmDisk, "path">): string[] {
  const node = blockNode({ ...disk, path: fileSetPath(DISK) });
  return [
    ...["-add-fd", `fd=${DISK},set=${DISK}`],
    ...["-blockdev", JSON.stringify(node), "-device", deviceArgument(scsiDisk(disk.id))],
  ];
}

function slots(): string[] {
  return [
    ...slotNodes().flatMap((node) => ["-blockdev", JSON.stringify(node)]),
    ...slotDevices().flatMap((device) => ["-device", deviceArgument(device)]),
  ];
}

function deviceArgument({ driver, ...properties }: ReturnType<typeof scsiDisk>): string {
  return [driver, ...Object.entries(properties).map(([name, value]) => `${name}=${value}`)].join(",");
}

/** A value inside a QEMU option list, where a comma is written twice. */
function escaped(value: string): string {
  return value.replaceAll(",", ",,");
}
