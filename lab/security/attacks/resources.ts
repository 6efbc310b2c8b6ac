/** What a guest uses of the host's is bounded, and what it does not use is not charged to it. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { execText } from "../../cri/commands.ts";
import type { Attack, Ground } from "../attack.ts";
import { ofProcess, vmmOf } from "../victim.ts";

const ROOT = "/sys/fs/cgroup";
const MEBIBYTE = 2 ** 20;
/** A template's memory has more, and so has a guest that fills its own. */
const MOST_OF_OTHERS = 24 * MEBIBYTE;
const FILL = "dd if=/dev/zero of=/dev/shm/filled bs=1M count=40 && cat /dev/shm/filled > /dev/null";

/** A file of the control group that a process is in, of this controller. */
async function ofGroup(pid: number, controller: string, v1: string, v2: string): Promise<string> {
  const lines = (await ofProcess(pid, "cgroup")).split("\n").map((line) => line.split(":"));
  const unified = existsSync(join(ROOT, "cgroup.controllers"));
  const [, , path = ""] =
    lines.find(([, names = ""]) => (unified ? names === "" : names.split(",").includes(controller))) ?? [];
  return readFile(unified ? join(ROOT, path, v2) : join(ROOT, controller, path, v1), "utf8");
}

async function limits(ground: Ground): Promise<string | undefined> {
  const pid = await vmmOf(ground);
  const memory = Number(await ofGroup(pid, "memory", "memory.limit_in_bytes", "memory.max"));
  if (!(memory > 0 && memory < 2 ** 40)) return `its memory is not limited: ${memory}`;
  const pids = Number(await ofGroup(pid, "pids", "pids.max", "pids.max"));
  if (!(pids > 0 && pids < 10_000)) return `its processes are not limited: ${pids}`;
  const [vmm, daemon] = await Promise.all(
    [pid, ground.node.blazardPid].map(async (each) => Number(await ofProcess(each, "oom_score_adj"))),
  );
  if (!((vmm ?? 0) >= (daemon ?? 0))) return `the kernel would rather kill the daemon: ${daemon}, and ${vmm}`;
  return undefined;
}

export const RESOURCES: readonly Attack[] = [
  {
    name: "a VMM is bounded in memory and processes, and dies before the daemon does",
    by: "a guest",
    tryIt: limits,
  },
  {
    name: "what a guest shares with its template is not charged to its pod",
    by: "a guest",
    async tryIt(ground) {
      const { code, stderr } = await execText(ground.node.cri, ground.hostile.container, FILL, 60);
      if (code !== 0) throw new Error(`the guest's memory could not be used: ${stderr}`);
      const pid = await vmmOf(ground);
      // a VM that was booted has its own memory in a file of the kernel's, which is to be charged to it
      const isCopy = (await ofProcess(pid, "maps")).includes("blazar-template");
      const stat = await ofGroup(pid, "memory", "memory.stat", "memory.stat");
      const bytes = (name: string): number =>
        Number(new RegExp(`^${name} (\\d+)$`, "m").exec(stat)?.[1] ?? 0);
      // what is in memory only counts as a file, too
      const files = Math.max(bytes("file"), bytes("cache"), bytes("shmem"));
      if (bytes("anon") + bytes("rss") + files < 40 * MEBIBYTE)
        throw new Error(`it has used nothing: ${stat}`);
      const shared = isCopy ? files : files - bytes("shmem");
      return shared > MOST_OF_OTHERS
        ? `${Math.round(shared / MEBIBYTE)} MiB of files are charged to it`
        : undefined;
    },
  },
];
