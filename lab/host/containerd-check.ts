/**
 * Whether this machine lets a private containerd work.
 *
 * Rights are tried, not guessed: in a user namespace or a container, uid 0 may lack root's rights.
 */
import { access, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Artifacts } from "../../setup/steps/artifacts.ts";
import { reasonOf } from "../../src/contracts/errors.ts";
import { runProgram } from "./program.ts";

/** Why containerd cannot be used here; undefined if it can. */
export async function reasonAgainstContainerd({ containerd }: Artifacts): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "containerd needs root, and this is another user";
  if (containerd === null) return "set-up could not get a containerd 2.1 or newer";
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
