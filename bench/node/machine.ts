/**
 * The machine and the versions, which the figures depend on. Names of hosts and users are left out.
 */
import { cpus, release, totalmem } from "node:os";
import { runProgram } from "../../lab/host/program.ts";
import { repoRoot } from "../../setup/lib/paths.ts";
import { productVersion } from "../../setup/lib/version.ts";
import type { Artifacts } from "../../setup/steps/artifacts.ts";
import type { Machine } from "../output/results.ts";

const MIB = 2 ** 20;

/** @param acceleration of blazar's VMs, as a pod told; "" if none ran */
export function describeMachine(acceleration: string): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryMb: Math.round(totalmem() / MIB),
    kernel: release(),
    acceleration,
  };
}

/** Versions of everything that a start passes through. */
export async function versions({ containerd }: Artifacts): Promise<Record<string, string>> {
  return {
    blazar: productVersion(),
    commit: await firstLine("git", ["-C", repoRoot(), "rev-parse", "--short", "HEAD"]),
    node: process.version,
    containerd: containerd?.version ?? "none",
    runc: await versionOf("runc"),
    qemu: await versionOf("qemu-system-x86_64"),
  };
}

/** `none` where the program is missing. */
async function firstLine(program: string, args: readonly string[]): Promise<string> {
  const text = await runProgram(program, args).catch(() => "none");
  return text.split("\n")[0]?.trim() ?? "none";
}

/** The number in what a program says of its version. */
async function versionOf(program: string): Promise<string> {
  const line = await firstLine(program, ["--version"]);
  return /\d+\.\S+/.exec(line)?.[0] ?? line;
}
