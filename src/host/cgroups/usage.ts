/**
 * What the processes of a group use, in the words of cgroup v2: admin-guide/cgroup-v2.rst, and cgroup-v1/{memory,cpuacct}.rst for
 * where v1 has the same.
 *
 * Must not judge what it reads.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { Hierarchy } from "./hierarchies.ts";

type Files = Record<string, string>;

const V2 = [
  ...["cpu.stat", "memory.current", "memory.max", "memory.peak", "memory.stat", "memory.events"],
  ...["memory.swap.current", "memory.swap.max", "pids.current", "pids.max"],
];
/** Files that mean the same under another name. */
const V1: Readonly<Record<string, Files>> = {
  memory: {
    "memory.usage_in_bytes": "memory.current",
    "memory.limit_in_bytes": "memory.max",
    "memory.max_usage_in_bytes": "memory.peak",
  },
  pids: { "pids.current": "pids.current", "pids.max": "pids.max" },
};
/** Of v1's memory.stat, with what is below the group. */
const V1_MEMORY: Files = {
  total_rss: "anon",
  total_cache: "file",
  total_mapped_file: "file_mapped",
  total_dirty: "file_dirty",
  total_writeback: "file_writeback",
  total_shmem: "shmem",
  total_inactive_anon: "inactive_anon",
  total_active_anon: "active_anon",
  total_inactive_file: "inactive_file",
  total_active_file: "active_file",
  total_unevictable: "unevictable",
  total_pgfault: "pgfault",
  total_pgmajfault: "pgmajfault",
};
const V1_UNLIMITED = 2n ** 62n;

/** Those files that the group has in this hierarchy. */
export async function readUsage(directory: string, { version, controllers }: Hierarchy): Promise<Files> {
  const read = (name: string) => readFile(path.join(directory, name), "utf8").catch(() => undefined);
  const files: Files = {};
  const put = (name: string, text: string | undefined) => {
    if (text !== undefined) files[name] = text.trim();
  };
  if (version === 2) {
    await Promise.all(V2.map(async (name) => put(name, await read(name))));
    return files;
  }
  for (const controller of controllers)
    for (const [name, called] of Object.entries(V1[controller] ?? {})) put(called, await read(name));
  const limit = files["memory.max"];
  if (limit !== undefined && /^\d+$/.test(limit) && BigInt(limit) >= V1_UNLIMITED)
    files["memory.max"] = "max";
  if (controllers.includes("memory")) put("memory.stat", renamed(await read("memory.stat")));
  if (controllers.includes("cpuacct")) put("cpu.stat", cpuStat(await read("cpuacct.usage")));
  return files;
}

function renamed(text: string | undefined): string | undefined {
  return text
    ?.split("\n")
    .flatMap((line) => {
      const [name = "", value = ""] = line.split(" ");
      const called = Object.hasOwn(V1_MEMORY, name) ? V1_MEMORY[name] : undefined;
      return called === undefined ? [] : [`${called} ${value}`];
    })
    .join("\n");
}

/** v1 counts nanoseconds. */
function cpuStat(text: string | undefined): string | undefined {
  const nanoseconds = text?.trim() ?? "";
  return /^\d+$/.test(nanoseconds) ? `usage_usec ${BigInt(nanoseconds) / 1000n}` : undefined;
}
