/**
 * What a QEMU template depends on: all that makes two guests boot to the same memory.
 *
 * Whoever changes the command line changes the key with it, since the key is taken from the command line itself.
 */
import type { LayerImages } from "../../../contracts/storage.ts";
import type { VmShape } from "../../../contracts/vm.ts";
import type { TemplateIdentity } from "../../../contracts/vmm.ts";
import { TEMPLATE_DISK } from "../../common/templates/clones.ts";
import {
  type FileHashes,
  fileStamp,
  hostCpu,
  templateIdentity,
} from "../../common/templates/fingerprints.ts";
import { commandLine, kernelArguments } from "../command-line.ts";
import type { Launcher } from "../launch.ts";
import { usesVhostNet } from "../process.ts";

/** Raised when templates are made or loaded in another way. */
const LAYOUT = "2";

export async function identifyTemplate(
  launcher: Launcher,
  shape: VmShape,
  hashes: FileHashes,
  images: Pick<LayerImages, "identity"> | undefined,
): Promise<TemplateIdentity> {
  const { accelerator, version } = launcher;
  const [binary, kernel, initramfs] = await Promise.all([
    fileStamp(launcher.binary),
    hashes.of(launcher.kernel),
    hashes.of(launcher.initramfs),
  ]);
  return templateIdentity({
    layout: LAYOUT,
    vmm: `${launcher.binary} ${version} ${binary}`,
    acceleration: accelerator.name,
    cpu: accelerator.name === "kvm" ? await hostCpu() : accelerator.cpu,
    kernel,
    initramfs,
    "command line": kernelArguments(accelerator),
    vcpus: String(shape.vcpus),
    memory: String(shape.memoryBytes),
    nics: String(shape.nics),
    devices: devices(launcher, shape, images !== undefined),
    disk: (await images?.identity()) ?? "none",
  });
}

/** The whole command line, without what differs from VM to VM. */
function devices({ accelerator, facts, filterLibrary }: Launcher, shape: VmShape, hasDisk: boolean): string {
  const args = commandLine({
    binary: "qemu",
    spec: {
      ...shape,
      id: "template",
      directory: "/vm",
      user: undefined,
      cgroups: [],
      source: { kind: "boot" },
    },
    accelerator,
    vhostNet: usesVhostNet(accelerator, facts),
    memory: { kind: "saved", path: "/memory" },
    disk: hasDisk ? { id: TEMPLATE_DISK, readonly: false } : undefined,
    kernel: "kernel",
    initramfs: "initramfs",
    hasOwnFilter: filterLibrary === undefined,
  });
  return args.slice(1).join(" ");
}
