/**
 * Finds what a pod or a node has left on the host: processes, mounts, files, sockets, control groups (proc(5)).
 *
 * It looks for names: the ids of pods and containers, the node's directory. So it needs not know how things are made.
 * It changes nothing.
 */
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { mountsBelow } from "../host/mounts.ts";
import { processesOf } from "../host/processes.ts";
import type { NodePlaces } from "./blazard-config.ts";

/**
 * An original, the paused VM that others are forked from, and the pool's VMs belong to their node, and so does the file that says
 * whose a directory is, and the directory of the journals' copies.
 */
const OF_THE_NODE = /^(original|pool)-|^\.owner$|^copies$/;

/** Something that should not be there any more. */
export interface Leftover {
  readonly kind: "process" | "mount" | "file" | "socket" | "cgroup";
  readonly what: string;
}

/** What is left of pods and containers that have been removed, by their ids, while their node still runs. */
export async function podLeftovers(ids: readonly string[], node: NodePlaces): Promise<Leftover[]> {
  const [processes, mounts, sockets, cgroups, files] = await Promise.all([
    processesOf(ids),
    readFile("/proc/self/mountinfo", "utf8"),
    readFile("/proc/net/unix", "utf8"),
    cgroupsNamed(ids),
    filesOfPods(node),
  ]);
  const naming = (text: string) => text.split("\n").filter((line) => ids.some((id) => line.includes(id)));
  return [
    ...processes.map(({ pid, command }) => leftover("process", `${pid} ${command}`)),
    ...naming(mounts).map((line) => leftover("mount", line)),
    ...naming(sockets).map((line) => leftover("socket", line)),
    ...cgroups.map((path) => leftover("cgroup", path)),
    ...files.map((path) => leftover("file", path)),
  ];
}

/** What is left of a node that has been stopped. */
export async function nodeLeftovers(directory: string): Promise<Leftover[]> {
  const [processes, mounts, unix] = await Promise.all([
    processesOf([directory]),
    mountsBelow(directory),
    readFile("/proc/net/unix", "utf8"),
  ]);
  const sockets = unix.split("\n").filter((line) => line.includes(`${directory}/`));
  const files = await readdir(directory).catch(() => undefined);
  return [
    ...processes.map(({ pid, command }) => leftover("process", `${pid} ${command}`)),
    ...mounts.map((path) => leftover("mount", path)),
    ...sockets.map((line) => leftover("socket", line)),
    ...(files === undefined ? [] : [leftover("file", directory)]),
  ];
}

function leftover(kind: Leftover["kind"], what: string): Leftover {
  return { kind, what };
}

/** Directories in the hierarchies that are called by one of the ids. */
async function cgroupsNamed(ids: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  const look = async (directory: string, depth: number): Promise<void> => {
    const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (!entry.isDirectory()) continue;
      const path = join(directory, entry.name);
      if (ids.some((id) => basename(path).includes(id))) found.push(path);
      else if (depth > 0) await look(path, depth - 1);
    }
  };
  await look("/sys/fs/cgroup", 4);
  return found;
}

/** Files that only exist for a pod: none are there when there are no pods. */
async function filesOfPods(node: NodePlaces): Promise<string[]> {
  const { stateDirectory, scratchDirectory, containerdDirectory } = node;
  const cri = "io.containerd.grpc.v1.cri";
  const directories = [
    join(stateDirectory, "sandboxes"),
    join(stateDirectory, "journals"),
    join(stateDirectory, "journals", "copies"),
    scratchDirectory,
    join(containerdDirectory, "state", "io.containerd.runtime.v2.task", "k8s.io"),
    join(containerdDirectory, "root", "io.containerd.runtime.v2.task", "k8s.io"),
    ...["state", "root"].flatMap((half) =>
      ["sandboxes", "containers"].map((kind) => join(containerdDirectory, half, cri, kind)),
    ),
  ];
  const lists = await Promise.all(
    directories.map(async (directory) => {
      const names = await readdir(directory).catch(() => []);
      return names.filter((name) => !OF_THE_NODE.test(name)).map((name) => join(directory, name));
    }),
  );
  return lists.flat();
}
