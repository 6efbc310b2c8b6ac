/**
 * The network of runc's pods on a private node: CNI's ptp, host-local and portmap plugins (Debian's
 * containernetworking-plugins). It changes the network namespace that it is in, which must not be the host's.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "../host/program.ts";
import { until } from "../host/until.ts";
import type { PrivateNode } from "../node/private-node.ts";

const SUBNET = "10.87.0.0/24";

/** A link with an address and a way out, which a node has and a new namespace has not: a hostNetwork pod gets these. */
export async function hostNetwork(): Promise<void> {
  for (const line of [
    "link add lan0 type veth peer name lan1",
    "link set lan1 up",
    "address add 10.86.0.1/24 dev lan0",
    "link set lan0 up",
    "route add default via 10.86.0.2",
  ])
    await runProgram("ip", line.split(" "));
}

/** Configures it; resolves when containerd has read it. */
export async function runcNetwork(node: PrivateNode): Promise<void> {
  const addresses = join(node.directory, "addresses");
  const plugins = [
    { type: "ptp", ipMasq: false, ipam: { type: "host-local", dataDir: addresses, subnet: SUBNET } },
    { type: "portmap", capabilities: { portMappings: true }, snat: true },
  ];
  const directory = join(node.containerdDirectory, "cni");
  await mkdir(directory, { recursive: true });
  const list = { cniVersion: "1.0.0", name: "blazar-critest", plugins };
  await writeFile(join(directory, "10-critest.conflist"), JSON.stringify(list));
  await until("containerd's network", async () => {
    const { status } = await node.cri.status();
    const ready = status?.conditions.some(({ type, status }) => type === "NetworkReady" && status);
    return ready === true ? true : undefined;
  });
}
