/**
 * What a template depends on: all that makes two guests boot to the same memory, as names and values and as one key.
 *
 * Whoever changes the command line changes the key with it, since the key is taken from the command line itself. Hashes
 * of kernel and initramfs are kept as long as size and modification time stay.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { LayerImages } from "../../../contracts/storage.ts";
import type { VmShape } from "../../../contracts/vm.ts";
import type { TemplateIdentity } from "../../../contracts/vmm.ts";
import { sha256 } from "../../common/template-files.ts";
import type { Accelerator } from "../accelerator.ts";
import { commandLine, kernelArguments } from "../command-line.ts";
import type { Launcher } from "../launch.ts";
import { vmPaths } from "../paths.ts";

/** Id of the disk that a template's guest has. */
export const TEMPLATE_DISK = "spare";
/** Raised when templates are made or loaded in another way. */
const LAYOUT = "2";
const KEY_DIGITS = 32;

/** Hashes of files by path; one per driver. */
export class FileHashes {
  private readonly known = new Map<string, { readonly stamp: string; readonly hash: Promise<string> }>();

  async of(path: string): Promise<string> {
    const stamp = await fileStamp(path);
    const known = this.known.get(path);
    if (known?.stamp === stamp) return known.hash;
    const hash = hashFile(path);
    this.known.set(path, { stamp, hash });
    hash.catch(() => this.known.delete(path));
    return hash;
  }
}

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
  const parts: Record<string, string> = {
    layout: LAYOUT,
    vmm: `${launcher.binary} ${version} ${binary}`,
    acceleration: accelerator.name,
    cpu: accelerator.name === "kvm" ? await hostCpu() : accelerator.cpu,
    kernel,
    initramfs,
    "command line": kernelArguments(accelerator),
    vcpus: String(shape.vcpus),
    memory: String(shape.memoryBytes),
    devices: devices(accelerator, shape, images !== undefined),
    disk: (await images?.identity()) ?? "none",
  };
  return { key: sha256(Buffer.from(JSON.stringify(parts))).slice(0, KEY_DIGITS), parts };
}

/** The whole command line, without what differs from VM to VM. */
function devices(accelerator: Accelerator, shape: VmShape, hasDisk: boolean): string {
  const args = commandLine({
    binary: "qemu",
    spec: {
      ...shape,
      id: "template",
      directory: "/vm",
      shareDirectory: "/share",
      user: undefined,
      cgroups: [],
      source: { kind: "boot" },
    },
    paths: vmPaths("/vm"),
    accelerator,
    memory: { kind: "saved", path: "/memory" },
    disk: hasDisk ? { id: TEMPLATE_DISK, path: "/disk", readonly: false } : undefined,
    kernel: "kernel",
    initramfs: "initramfs",
  });
  return args.slice(1).join(" ");
}

/** With `-cpu host` a guest sees this; a clone must find what its template saw. */
async function hostCpu(): Promise<string> {
  const text = await readFile("/proc/cpuinfo", "latin1").catch(() => "");
  const [first = ""] = text.split("\n\n");
  const lines = first.split("\n").filter((line) => /^(model name|flags|microcode)\s*:/.test(line));
  return `host ${sha256(Buffer.from(lines.join("\n"))).slice(0, KEY_DIGITS)}`;
}

/** Changes when a file does. */
export async function fileStamp(path: string): Promise<string> {
  const { size, mtimeMs } = await stat(path);
  return `${size}/${mtimeMs}`;
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
