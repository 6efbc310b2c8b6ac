/** The networks of pods on a real kernel, with the real keeper and workers in threads. */
import { once } from "node:events";
import { createConnection } from "node:net";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { NetworkChange } from "../../../src/contracts/network.ts";
import type { Vm } from "../../../src/contracts/vm.ts";
import { CniNetworks } from "../../../src/host/network/cni-networks.ts";
import { WorkerPool } from "../../../src/host/storage/worker-pool.ts";
import type { RootfsTasks } from "../../../src/workers/rootfs.worker.ts";
import { RealKeeper } from "../../support/bench/keeper.ts";
import { CapturedLogger } from "../../support/captured-logger.ts";
import { describePodNetworks, type PodNetworksBench } from "../../support/conformance/pod-networks.ts";
import { TestTap } from "../../support/network/frames.ts";
import { Namespaces, type TestNamespace } from "../../support/network/namespaces.ts";
import { bundleWorker, type WorkerBundle } from "../../support/worker-bundle.ts";

let bundle: WorkerBundle;
let workers: WorkerPool<RootfsTasks>;
let keeper: RealKeeper;

beforeAll(async () => {
  bundle = await bundleWorker("rootfs");
  workers = new WorkerPool<RootfsTasks>({ file: bundle.file, keepOne: true });
  keeper = await RealKeeper.start();
});

afterAll(async () => {
  await workers.close();
  await bundle.remove();
  await keeper.dispose();
});

async function makeBench(): Promise<PodNetworksBench & { readonly outside: TestNamespace }> {
  const namespaces = new Namespaces();
  const { pod, outside } = namespaces.pair();
  const parking = namespaces.make("park");
  pod.ip("address add 10.1.0.2/24 dev eth0");
  const tap = TestTap.open(parking.path, "nic0");
  const newNetworks = () => new CniNetworks({ workers, keeper: keeper.keeper, logger: new CapturedLogger() });
  return {
    outside,
    networks: newNetworks(),
    nextDaemon: newNetworks,
    pod: { id: pod.name, netnsPath: pod.path },
    vm: { nics: [{ tap: "nic0", namespace: parking.path }] } as unknown as Vm,
    addAddress: async (address) => pod.ip(`address add ${address}/24 dev eth0`),
    removeLink: async () => pod.ip("link del eth0"),
    removeNamespace: async () => namespaces.remove(pod),
    joined: async () =>
      pod.ipJson("link show").some(({ ifname }: { ifname: string }) => ifname.startsWith("blazar")),
    dispose: async () => {
      tap.close();
      namespaces.close();
    },
  };
}

describe("networks of pods", () => {
  describePodNetworks(makeBench);

  it("tells a burst of changes a few times at most", async () => {
    const bench = await makeBench();
    const network = await bench.networks.read(bench.pod);
    await bench.networks.connect(bench.vm, bench.pod, network);
    const changes: NetworkChange[] = [];
    const stop = bench.networks.watch(bench.pod, network, (change) => changes.push(change));
    for (let number = 10; number < 50; number++) await bench.addAddress(`10.1.0.${number}`);
    await vi.waitFor(() => expect(JSON.stringify(changes.at(-1))).toContain("10.1.0.49"));
    expect(changes.length).toBeLessThan(40);
    stop();
    await bench.dispose();
  });

  it("lets go of a namespace that is gone", async () => {
    const bench = await makeBench();
    const network = await bench.networks.read(bench.pod);
    await bench.networks.connect(bench.vm, bench.pod, network);
    const changes: NetworkChange[] = [];
    bench.networks.watch(bench.pod, network, (change) => changes.push(change));
    const pairs = () => bench.outside.ipJson("link show").map(({ ifname }: { ifname: string }) => ifname);
    expect(pairs()).toContain("out0");
    await bench.removeNamespace();
    await vi.waitFor(() => expect(changes).toMatchObject([{ kind: "gone" }]));
    // the other end of its link goes with it, once nobody holds it any more
    await vi.waitFor(() => expect(pairs()).not.toContain("out0"), { timeout: 5_000 });
    await bench.dispose();
  });

  it("is followed again after the keeper's link was lost", async () => {
    const bench = await makeBench();
    const network = await bench.networks.read(bench.pod);
    await bench.networks.connect(bench.vm, bench.pod, network);
    const changes: NetworkChange[] = [];
    const stop = bench.networks.watch(bench.pod, network, (change) => changes.push(change));
    // another connection displaces the daemon's, which comes back and displaces it
    const other = createConnection({ path: keeper.control });
    other.on("error", () => undefined);
    other.resume();
    other.write("x");
    await once(other, "close");
    await vi.waitFor(() => expect(keeper.keeper.connected).toBe(true), { timeout: 5_000 });
    await bench.addAddress("10.1.0.77");
    await vi.waitFor(() => expect(JSON.stringify(changes.at(-1))).toContain("10.1.0.77"), { timeout: 5_000 });
    stop();
    await bench.dispose();
  });
});
