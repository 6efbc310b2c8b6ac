/**
 * What the demo needs of set-up (its manifest `current.json`), and whether this machine lets containerd work.
 *
 * Rights are tried, not guessed: a user namespace or a container may have root's number without root's rights.
 */
import { access, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { blazarError, reasonOf } from "../../src/contracts/errors.ts";
import { cacheDirectory } from "../../src/daemon/parts.ts";
import { runProgram } from "./child.ts";

export interface Materials {
  readonly busybox: string;
  /** Names of its applets. */
  readonly applets: readonly string[];
  /** Directory of containerd's programs, and its version; undefined where set-up could not have it. */
  readonly containerd: { readonly bin: string; readonly version: string } | undefined;
}

interface Manifest {
  readonly busybox: { readonly binary: string; readonly applets: string };
  readonly containerd: { readonly bin: string; readonly version: string } | null;
}

/** Throws DependencyMissing if set-up has not run. */
export async function findMaterials(): Promise<Materials> {
  const file = join(cacheDirectory(), "current.json");
  try {
    const { busybox, containerd } = JSON.parse(await readFile(file, "utf8")) as Manifest;
    const applets = (await readFile(busybox.applets, "utf8")).split("\n").filter((line) => line !== "");
    return {
      busybox: busybox.binary,
      applets: applets.map((path) => basename(path)),
      containerd: containerd ?? undefined,
    };
  } catch (cause) {
    throw blazarError("DependencyMissing", "find what set-up builds", reasonOf(cause), {
      subject: file,
      remedy: "run: npm run setup",
      cause,
    });
  }
}

/** Why containerd cannot be used here; undefined = it can. */
export async function reasonAgainstContainerd({ containerd }: Materials): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "containerd needs root, and this is another user";
  if (containerd === undefined) return "set-up could not get a containerd 2.1 or newer";
  try {
    await access(join(containerd.bin, "containerd"));
  } catch (error) {
    return `containerd cannot be used: ${reasonOf(error)}`;
  }
  return await reasonAgainstMounts();
}

async function reasonAgainstMounts(): Promise<string | undefined> {
  const directory = await mkdtemp(join(tmpdir(), "blazar-probe-"));
  try {
    await runProgram("mount", ["-t", "tmpfs", "blazar-probe", directory]);
    await runProgram("umount", [directory]);
    return undefined;
  } catch (error) {
    return `this root may not mount (${reasonOf(error)})`;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
