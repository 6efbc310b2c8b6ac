/**
 * QEMU's command line for an emulated host (qemu(1)): a q35 machine whose processor has AMD-V, which KVM in it can use.
 *
 * All that goes between the machine and the emulated one goes by sockets that QEMU inherits, so there is no file to leave
 * behind. Its ports are named in {@link STREAMS}; guest/run.sh and guest/init.sh know them by their numbers.
 */

/** The descriptors that QEMU inherits, in their order from 3 on; the number of a virtio port is beside its name. */
export const STREAMS = [
  { name: "log" },
  { name: "terminal", port: 0 },
  { name: "stdin", port: 1 },
  { name: "stdout", port: 2 },
  { name: "stderr", port: 3 },
  { name: "control", port: 4 },
  { name: "job", port: 5 },
] as const;

export const FIRST_STREAM_FD = 3;

export type StreamName = (typeof STREAMS)[number]["name"];

export interface HostMachine {
  readonly vmlinux: string;
  readonly initramfs: string;
  readonly memoryBytes: number;
  readonly cpus: number;
  /** The root of a systemd host, an EROFS image. */
  readonly image: string | undefined;
  /** Seen at {@link OUTPUT_AT}. */
  readonly output: string | undefined;
  /** Of the machine's time stamp counter; undefined if it is not known. */
  readonly tscKhz: number | undefined;
}

/**
 * The emulated processor, without what is slow when emulated (src/vmm/qemu/tcg/emulation.ts), as far as a guest under KVM in
 * it does not miss it.
 */
const CPU = "max,erms=off,la57=off,pku=off,pks=off";
/** Translated code of two kernels and their programs; a full buffer is thrown away whole. */
const TRANSLATED_MIB = 1024;
const MEBIBYTE = 2 ** 20;

export function qemuArguments(machine: HostMachine): string[] {
  const { image, output, memoryBytes, cpus } = machine;
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none"],
    ...["-machine", "q35,sata=off,usb=off,smbus=off,vmport=off"],
    ...["-accel", `tcg,thread=multi,tb-size=${TRANSLATED_MIB}`, "-cpu", CPU],
    ...["-smp", `${cpus}`, "-m", `${Math.floor(memoryBytes / MEBIBYTE)}M`],
    ...["-kernel", machine.vmlinux, "-initrd", machine.initramfs, "-append", kernelArguments(machine)],
    // the first of virtio's devices: its ports are /dev/vport0p*
    ...["-device", `virtio-serial-pci,max_ports=${STREAMS.length}`],
    ...STREAMS.flatMap(stream),
    ...["-device", "virtio-rng-pci"],
    ...share("machine", "/", true),
    ...(output === undefined ? [] : share("output", output, false)),
    ...(image === undefined ? [] : disk(image)),
  ];
}

function kernelArguments({ tscKhz }: HostMachine): string {
  const clock = tscKhz === undefined ? ["tsc=reliable"] : [`tsc_early_khz=${tscKhz}`, "tsc=reliable"];
  return [
    ...["console=ttyS0", "quiet", "panic=-1", "mitigations=off", "cgroup_no_v1=all", "net.ifnames=0"],
    ...clock,
  ].join(" ");
}

function stream(each: (typeof STREAMS)[number], index: number): string[] {
  const socket = ["-chardev", `socket,id=${each.name},fd=${FIRST_STREAM_FD + index}`];
  if (!("port" in each)) return [...socket, "-serial", `chardev:${each.name}`];
  const device = each.port === 0 ? "virtconsole" : "virtserialport";
  return [...socket, "-device", `${device},chardev=${each.name},nr=${each.port}`];
}

function share(name: string, path: string, readonly: boolean): string[] {
  const options = `security_model=none,multidevs=remap${readonly ? ",readonly=on" : ""}`;
  return [
    "-fsdev",
    `local,id=${name},path=${escaped(path)},${options}`,
    "-device",
    `virtio-9p-pci,fsdev=${name},mount_tag=${name}`,
  ];
}

function disk(file: string): string[] {
  return [
    "-drive",
    `if=none,id=image,format=raw,readonly=on,file=${escaped(file)}`,
    "-device",
    "virtio-blk-pci,drive=image",
  ];
}

/** A comma ends an option's value, two of them are one. */
function escaped(path: string): string {
  return path.replaceAll(",", ",,");
}
