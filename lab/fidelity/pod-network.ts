/**
 * A network for pods that cannot be hostNetwork under runc, such as those with a user namespace: CNI's ptp (cni.dev).
 *
 * It leads nowhere: no masquerading, and addresses that nobody routes to.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const PLUGINS = ["/usr/lib/cni", "/opt/cni/bin"];

/** Whether this host has the plugins. */
export function hasPodNetwork(): boolean {
  return PLUGINS.some((directory) =>
    ["ptp", "host-local"].every((name) => existsSync(join(directory, name))),
  );
}

/** What the runc says of itself that containerd would run; "" if there is none. */
export function runcFeatures(): string {
  return spawnSync("runc", ["features"], { encoding: "utf8" }).stdout ?? "";
}

/** Gives a private containerd its CNI configuration, which it reads at once. */
export async function writePodNetwork(containerdDirectory: string): Promise<void> {
  const dataDir = join(containerdDirectory, "cni-addresses");
  const ipam = { type: "host-local", subnet: "10.231.77.0/24", dataDir };
  const conflist = { cniVersion: "1.0.0", name: "blazar-fidelity", plugins: [{ type: "ptp", ipam }] };
  await mkdir(join(containerdDirectory, "cni"), { recursive: true });
  await writeFile(join(containerdDirectory, "cni", "10-fidelity.conflist"), JSON.stringify(conflist));
}
