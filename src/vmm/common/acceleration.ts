/**
 * KVM or emulation: found out by booting a guest, because a /dev/kvm that opens does not mean a KVM that works.
 *
 * `auto` boots once under KVM until the agent speaks. If that fails, VMs are emulated, and one warning says why. The answer is
 * kept in the cache and holds for this VMM, kernel, initramfs and boot of the host. With `kvm`, a KVM that does not work is an
 * error. It starts nothing itself; the boot is the caller's.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { access, readFile, rename, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { blazarError, reasonOf } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { Acceleration } from "../../contracts/vm.ts";
import { makeDirectories } from "../../lib/directories.ts";

/** What the operator asks for. */
export type AccelerationChoice = "auto" | Acceleration;

const KVM_DEVICE = "/dev/kvm";
const SLOW = "VMs are emulated in software (TCG), which is several times slower";

export interface AccelerationProbe {
  readonly choice: AccelerationChoice;
  /** All that the answer depends on: version of the VMM, paths of kernel and initramfs. */
  readonly version: string;
  readonly images: readonly string[];
  readonly cacheDirectory: string;
  readonly logger: Logger;
  /** Boots a guest under KVM until its agent speaks; rejects if it does not. */
  readonly bootWithKvm: () => Promise<void>;
  /** Default /dev/kvm. */
  readonly device?: string;
}

interface Answer {
  readonly acceleration: Acceleration;
  /** Why not KVM; "" if it works. */
  readonly reason: string;
}

/** Decides. Throws VmmFailed if KVM is insisted on and does not work. */
export async function chooseAcceleration(probe: AccelerationProbe): Promise<Acceleration> {
  const { choice, logger } = probe;
  if (choice === "tcg") return "tcg";
  const { acceleration, reason } = await answer(probe);
  if (acceleration === "kvm") return "kvm";
  if (choice === "kvm") {
    throw blazarError("VmmFailed", "use KVM", reason, {
      subject: probe.device ?? KVM_DEVICE,
      remedy: 'set vmm.acceleration to "auto" or "tcg" in the configuration',
    });
  }
  logger.warn({ reason }, `KVM cannot be used: ${SLOW}`);
  return "tcg";
}

async function answer(probe: AccelerationProbe): Promise<Answer> {
  const unusable = await deviceProblem(probe.device ?? KVM_DEVICE);
  if (unusable !== undefined) return { acceleration: "tcg", reason: unusable };
  const file = join(probe.cacheDirectory, `acceleration-${await cacheKey(probe)}.json`);
  const known = await remembered(file);
  if (known !== undefined) return known;
  probe.logger.info({}, "booting a guest once to see whether KVM works here");
  const found = await tryKvm(probe);
  await remember(file, found).catch((err: unknown) => {
    probe.logger.warn({ err, file }, "the answer cannot be kept: the next start will probe again");
  });
  return found;
}

async function tryKvm(probe: AccelerationProbe): Promise<Answer> {
  try {
    await probe.bootWithKvm();
    return { acceleration: "kvm", reason: "" };
  } catch (error) {
    return { acceleration: "tcg", reason: `a guest did not boot with it: ${reasonOf(error)}` };
  }
}

async function deviceProblem(device: string): Promise<string | undefined> {
  try {
    await access(device, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
}

async function cacheKey({ version, images }: AccelerationProbe): Promise<string> {
  const hash = createHash("sha256").update(version);
  hash.update(await readFile("/proc/sys/kernel/random/boot_id", "latin1"));
  for (const image of images) {
    const { size, mtimeMs } = await stat(image);
    hash.update(`${image}\0${size}\0${mtimeMs}\0`);
  }
  return hash.digest("hex").slice(0, 16);
}

async function remembered(file: string): Promise<Answer | undefined> {
  try {
    const { acceleration, reason } = JSON.parse(await readFile(file, "utf8")) as Partial<Answer>;
    if (acceleration !== "kvm" && acceleration !== "tcg") return undefined;
    return { acceleration, reason: typeof reason === "string" ? reason : "" };
  } catch {
    return undefined;
  }
}

async function remember(file: string, found: Answer): Promise<void> {
  await makeDirectories(dirname(file));
  const temporary = `${file}.${process.pid}`;
  await writeFile(temporary, `${JSON.stringify(found)}\n`);
  await rename(temporary, file);
}
