/**
 * What a node holds at one time: memory and descriptors of its processes, mounts, files, control groups (proc(5)).
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ownGroupOf, readHierarchies } from "../../src/host/cgroups/hierarchies.ts";
import { mountsBelow } from "../host/mounts.ts";
import type { PrivateNode } from "../node/private-node.ts";

const KIB = 1024;

/** Counts, and bytes of anonymous memory. */
export interface Held {
  readonly daemonBytes: number;
  readonly daemonDescriptors: number;
  readonly keeperBytes: number;
  readonly keeperDescriptors: number;
  readonly mounts: number;
  readonly files: number;
  readonly cgroups: number;
}

export async function heldBy(node: PrivateNode, keeperPid: number): Promise<Held> {
  const files = await Promise.all([node.stateDirectory, node.scratchDirectory].map((each) => count(each, 6)));
  // in every hierarchy, and no other daemon's of this machine
  const own = ownGroupOf(node.stateDirectory);
  const groups = readHierarchies("/proc/self/mountinfo").map(({ mountPoint }) =>
    directories(join(mountPoint, own)),
  );
  return {
    daemonBytes: await anonymous(node.blazardPid),
    daemonDescriptors: await descriptors(node.blazardPid),
    keeperBytes: await anonymous(keeperPid),
    keeperDescriptors: await descriptors(keeperPid),
    mounts: (await mountsBelow(node.directory)).length,
    files: sum(files),
    cgroups: sum(await Promise.all(groups)),
  };
}

async function anonymous(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Anonymous:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * KIB;
}

async function descriptors(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}

/** Entries of a directory, so many levels deep; 0 if it is not there. */
async function count(directory: string, depth: number): Promise<number> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  const below = entries.map((each) =>
    each.isDirectory() && depth > 1 ? count(join(directory, each.name), depth - 1) : 0,
  );
  return entries.length + sum(await Promise.all(below));
}

/** Directories below a directory, however deep: a group's files do not count. */
async function directories(directory: string): Promise<number> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  const below = entries.filter((each) => each.isDirectory());
  return below.length + sum(await Promise.all(below.map(({ name }) => directories(join(directory, name)))));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, each) => all + each, 0);
}
