/**
 * What is left when all pods are removed: files, processes, mounts, sockets, cgroups, links; descriptors and memory of the daemon
 * and of the keeper; and what `blazar doctor` finds.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { memoryOf } from "../../bench/node/memory.ts";
import { pause } from "../../src/lib/async.ts";
import { runToEnd } from "../host/program.ts";
import { podLeftovers } from "../node/leftovers.ts";
import type { PrivateNode } from "../node/private-node.ts";
import { keeperPid } from "./killer.ts";
import type { ChaosRecord } from "./record.ts";

/** What a process holds. */
interface Holding {
  readonly descriptors: number;
  readonly bytes: number;
}

export interface Holdings {
  readonly daemon: Holding;
  readonly keeper: Holding;
  /** Network links of this machine's namespace. */
  readonly links: readonly string[];
}

/** Warm VMs come and go: each has a few descriptors. */
const SPARE_DESCRIPTORS = 24;
/** A daemon that has worked has more than one that has just started. */
const SPARE_BYTES = { daemon: 48e6, keeper: 2e6 } as const;
const SETTLE_MS = 3_000;
const MOST_LOOKS = 8;

export async function holdingsOf(node: PrivateNode): Promise<Holdings> {
  const [daemon, keeper] = await Promise.all([
    holdingOf(node.blazardPid),
    holdingOf((await keeperPid(node.stateDirectory)) ?? 0),
  ]);
  return { daemon, keeper, links: await readdir("/sys/class/net") };
}

async function holdingOf(pid: number): Promise<Holding> {
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
  return { descriptors: descriptors.length, bytes: (await memoryOf(pid))?.pss ?? 0 };
}

/** Looks until nothing is left, or has not become less for a while; what is left then is leaked. */
export async function findLeaks(
  node: PrivateNode,
  ids: readonly string[],
  before: Holdings,
  record: ChaosRecord,
): Promise<void> {
  let leaks: string[] = [];
  for (let look = 0; look < MOST_LOOKS; look++) {
    leaks = await leaksNow(node, ids, before);
    if (leaks.length === 0) return;
    await pause(SETTLE_MS);
  }
  for (const leak of leaks) record.found("leaked", leak);
}

async function leaksNow(node: PrivateNode, ids: readonly string[], before: Holdings): Promise<string[]> {
  const [left, now] = await Promise.all([podLeftovers(ids, node), holdingsOf(node)]);
  const links = now.links.filter((link) => !before.links.includes(link));
  const grown = (["daemon", "keeper"] as const).flatMap((name) => {
    const more = now[name].descriptors - before[name].descriptors;
    const bytes = now[name].bytes - before[name].bytes;
    return [
      ...(more > SPARE_DESCRIPTORS ? [`${more} descriptors of the ${name}`] : []),
      ...(bytes > SPARE_BYTES[name] ? [`${Math.round(bytes / 1e6)} MB of the ${name}`] : []),
    ];
  });
  return [
    ...left.map(({ kind, what }) => `${kind} ${what}`),
    ...links.map((link) => `link ${link}`),
    ...grown,
  ];
}

/** The reconciler removes what it has seen at two looks, a minute apart. */
const RECONCILED_MS = 150_000;
const AGAIN_MS = 10_000;

/** Runs `blazar doctor` on the node until it has nothing to say, or the reconciler has had its time. A fault then is a finding. */
export async function consultDoctor(node: PrivateNode, program: string, record: ChaosRecord): Promise<void> {
  const config = join(node.directory, "blazar.toml");
  const containerd = join(node.containerdDirectory, "config.toml");
  const words = ["doctor", "--config", config, "--containerd-config", containerd];
  const until = performance.now() + RECONCILED_MS;
  for (;;) {
    const { code, stdout, stderr } = await runToEnd([process.execPath, program, ...words]);
    if (code === 0) return record.event("doctor: all is well");
    record.event(`doctor: exit code ${code}:\n${stdout}${stderr}`);
    if (performance.now() > until)
      return record.found("wrong", `blazar doctor ends with ${code}:\n${stdout}${stderr}`);
    await pause(AGAIN_MS);
  }
}
