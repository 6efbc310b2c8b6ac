/**
 * How each kind of host resource is undone: the same way by a sandbox that ends and by the recovery of what a
 * dead daemon left. Every undo is idempotent and does not trust the journal: it looks first.
 */
import { readFile, rm } from "node:fs/promises";
import { BlazarError } from "../../contracts/errors.ts";
import type { Keeper } from "../../contracts/keeper.ts";
import type { PodNetworks } from "../../contracts/network.ts";
import type { Cgroups, HostFiles, RootfsStore } from "../../contracts/storage.ts";
import type { HostResource } from "./journal.ts";

/** The ports that undoing needs. */
export interface UndoPorts {
  readonly keeper: Pick<Keeper, "inventory" | "signal" | "exited" | "forget" | "openStdio">;
  readonly files: HostFiles;
  readonly rootfs: Pick<RootfsStore, "release">;
  readonly cgroups: Pick<Cgroups, "remove">;
  readonly networks: Pick<PodNetworks, "disconnect">;
}

const SIGKILL = 9;

/** Undoes one resource; what is gone already is success. */
export async function undo(resource: HostResource, ports: UndoPorts): Promise<void> {
  switch (resource.kind) {
    case "process":
      return endProcess(resource, ports.keeper);
    case "rootfs":
      return ports.rootfs.release(resource.plan);
    case "network":
      return ports.networks.disconnect(resource);
    case "directory":
      return ports.files.removeTree(resource.path);
    case "file":
      return rm(resource.path, { force: true });
    case "cgroups":
      return ports.cgroups.remove(resource.directories);
    case "stdio":
      return closeStdio(resource, ports.keeper);
  }
}

/** Words for an operator: what is undone. */
export function describeResource(resource: HostResource): string {
  switch (resource.kind) {
    case "process":
      return `process ${resource.id}${resource.pid === undefined ? "" : ` (pid ${resource.pid})`}`;
    case "rootfs":
      return `root of container ${resource.plan.containerId}`;
    case "network":
      return `network of ${resource.id} (${resource.netnsPath})`;
    case "directory":
      return `directory ${resource.path}`;
    case "file":
      return `file ${resource.path}`;
    case "cgroups":
      return `cgroups ${resource.directories.join(", ")}`;
    case "stdio":
      return `stdio ${resource.id}`;
  }
}

async function endProcess(
  resource: Extract<HostResource, { kind: "process" }>,
  keeper: UndoPorts["keeper"],
): Promise<void> {
  const known = keeper.inventory().processes.find((each) => each.id === resource.id);
  if (known !== undefined) {
    if (known.exit === undefined) await keeper.signal(resource.id, SIGKILL).catch(ignoreEnded);
    await keeper.exited(resource.id);
    await keeper.forget(resource.id);
    return;
  }
  // A keeper that has died leaves its children to init: only pid and start time together name them.
  if (resource.pid === undefined || resource.startTime === undefined) return;
  if ((await startTimeOf(resource.pid)) === resource.startTime) process.kill(resource.pid, "SIGKILL");
}

/** Stdio that the keeper still holds is taken up under its old id, for the one purpose of closing it. */
async function closeStdio(
  resource: Extract<HostResource, { kind: "stdio" }>,
  keeper: UndoPorts["keeper"],
): Promise<void> {
  if (!keeper.inventory().stdio.includes(resource.id)) return;
  const nothing = () => undefined;
  const handlers = { acknowledged: nothing, input: nothing, inputEnd: nothing };
  const binding = await keeper.openStdio(resource.id, resource.paths, handlers);
  await binding.close();
}

function ignoreEnded(error: unknown): void {
  if (error instanceof BlazarError && ["ProcessNotFound", "ProcessNotRunning"].includes(error.code)) return;
  throw error;
}

/** Field 22 of /proc/PID/stat, proc(5); undefined if there is no such process. */
async function startTimeOf(pid: number): Promise<number | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  } catch {
    return undefined;
  }
}
