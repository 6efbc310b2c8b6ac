/**
 * Reads the files of a cgroup, a guest's or the host's, into statistics: kernel, admin-guide/cgroup-v2.
 *
 * Pure. The guest may send anything: what is not a number of 64 bits is left out, and a file that is missing counts as
 * empty.
 */
import type { CgroupStats } from "../../contracts/stats.ts";

const MOST = 2n ** 64n - 1n;
/** Characters of a file that are read: the longest, memory.stat, has two thousand. kubelet asks again and again, on the main loop. */
const MOST_OF_FILE = 16 * 1024;

export function readCgroupStats(files: Readonly<Record<string, string>>): CgroupStats {
  const text = (name: string): string =>
    Object.hasOwn(files, name) ? (files[name] ?? "").slice(0, MOST_OF_FILE) : "";
  const amount = (name: string): bigint => numberOf(text(name)) ?? 0n;
  const limit = (name: string): bigint | undefined => numberOf(text(name));
  return {
    pids: { current: amount("pids.current"), limit: limit("pids.max") },
    cpu: flatKeyed(text("cpu.stat")),
    memory: flatKeyed(text("memory.stat")),
    memoryUsage: {
      current: amount("memory.current"),
      limit: limit("memory.max"),
      peak: amount("memory.peak"),
    },
    swapUsage: { current: amount("memory.swap.current"), limit: limit("memory.swap.max") },
    memoryEvents: flatKeyed(text("memory.events")),
    io: text("io.stat").split("\n").flatMap(deviceRow),
  };
}

/** Lines of a name and a number. */
function flatKeyed(text: string): Map<string, bigint> {
  const values = new Map<string, bigint>();
  for (const line of text.split("\n")) {
    const [name = "", digits = ""] = line.split(" ");
    const value = numberOf(digits);
    if (value !== undefined) values.set(name, value);
  }
  return values;
}

/** `8:0 rbytes=4096 wbytes=0 …` */
function deviceRow(line: string): CgroupStats["io"][number][] {
  const [device = "", ...pairs] = line.split(" ");
  const [major, minor] = device.split(":").map(numberOf);
  if (major === undefined || minor === undefined) return [];
  return [{ major, minor, values: flatKeyed(pairs.map((pair) => pair.replace("=", " ")).join("\n")) }];
}

/** Undefined for anything else, "max" included. */
function numberOf(text: string): bigint | undefined {
  const digits = text.trim();
  if (!/^\d{1,20}$/.test(digits)) return undefined;
  const value = BigInt(digits);
  return value <= MOST ? value : undefined;
}
