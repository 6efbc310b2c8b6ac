/**
 * Finds out whether KVM works, by booting a guest: a /dev/kvm that can be opened does not mean a KVM that works.
 *
 * That it works, and that it does not, is kept in the cache, and holds for this VMM, kernel, initramfs and boot of the host. That
 * a guest did not answer in time is no answer: it is asked again. It starts nothing itself; the boot is the caller's.
 */
import { createHash } from "node:crypto";
import { readFile, rename, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BlazarError, reasonOf } from "../../../contracts/errors.ts";
import { KVM_WORKS, type KvmFinding } from "../../../contracts/kvm.ts";
import type { Logger } from "../../../contracts/logger.ts";
import type { VmSpec } from "../../../contracts/vm.ts";
import { makeDirectories } from "../../../lib/directories.ts";
import { kvmDeviceProblem } from "./kvm-device.ts";

export interface KvmSearch {
  /** All that the answer depends on: version of the VMM, paths of kernel and initramfs. */
  readonly version: string;
  readonly images: readonly string[];
  readonly cacheDirectory: string;
  readonly logger: Logger;
  /** Whom VMMs run as; undefined = this process's user. */
  readonly user: VmSpec["user"];
  /** Boots a guest under KVM until its agent speaks; rejects with DeadlineExceeded if it is late, and else if it dies. */
  readonly bootWithKvm: () => Promise<void>;
  /** Default /dev/kvm. */
  readonly device?: string;
}

const MEND =
  "see the kernel's log (dmesg) for KVM; it is tried again after a restart of the host, or with another VMM or kernel";
const MORE_TIME =
  "it is tried again later; on a busy or an emulated host raise deadlines.kvmProbe in the configuration";
/** What QEMU says of a device that it may not open, by a rule of its own (AppArmor, SELinux). */
const REFUSED = /Could not access KVM kernel module: (Permission denied|Operation not permitted)/;

/** What is the case now. Never rejects. */
export async function searchKvm(search: KvmSearch): Promise<KvmFinding> {
  const problem = await kvmDeviceProblem(search.user, search.device);
  if (problem !== undefined) return problem;
  const file = join(search.cacheDirectory, `kvm-${await cacheKey(search)}.json`);
  const known = await remembered(file);
  if (known !== undefined) return known;
  search.logger.info({}, "booting a guest once to see whether KVM works here");
  const found = await tryKvm(search);
  if (isFinal(found))
    await remember(file, found).catch((err: unknown) => {
      search.logger.warn({ err, file }, "the answer cannot be kept: the next start will look for KVM again");
    });
  return found;
}

/** Whether it stays so until the host, the VMM or the guest's kernel is another one. */
export function isFinal({ state }: KvmFinding): boolean {
  return state === "works" || state === "broken";
}

async function tryKvm({ bootWithKvm }: KvmSearch): Promise<KvmFinding> {
  try {
    await bootWithKvm();
    return KVM_WORKS;
  } catch (error) {
    const reason = reasonOf(error);
    if (error instanceof BlazarError && error.code === "DeadlineExceeded")
      return { state: "undecided", reason: `a guest under KVM is too slow: ${reason}`, remedy: MORE_TIME };
    if (REFUSED.test(reason))
      return {
        state: "denied",
        reason: `the VMM may not open /dev/kvm: ${reason}`,
        remedy: "see what AppArmor or SELinux say of it",
      };
    return { state: "broken", reason: `a guest under KVM has died: ${reason}`, remedy: MEND };
  }
}

async function cacheKey({ version, images }: KvmSearch): Promise<string> {
  const hash = createHash("sha256").update(version);
  hash.update(await readFile("/proc/sys/kernel/random/boot_id", "latin1"));
  for (const image of images) {
    const { size, mtimeMs } = await stat(image);
    hash.update(`${image}\0${size}\0${mtimeMs}\0`);
  }
  return hash.digest("hex").slice(0, 16);
}

async function remembered(file: string): Promise<KvmFinding | undefined> {
  try {
    const { state, reason, remedy } = JSON.parse(await readFile(file, "utf8")) as Partial<KvmFinding>;
    if (state === "works") return KVM_WORKS;
    if (state !== "broken" || typeof reason !== "string" || typeof remedy !== "string") return undefined;
    return { state, reason, remedy };
  } catch {
    return undefined;
  }
}

async function remember(file: string, found: KvmFinding): Promise<void> {
  await makeDirectories(dirname(file));
  const temporary = `${file}.${process.pid}`;
  await writeFile(temporary, `${JSON.stringify(found)}\n`);
  await rename(temporary, file);
}
