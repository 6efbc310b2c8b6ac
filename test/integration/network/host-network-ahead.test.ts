import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ADDRESSES, HostNetworkBench, port } from "../../support/bench/host-network.ts";

const NOTHING = { processes: [], directories: [], users: 0 };
const AHEAD = { id: "warm", netnsPath: "" };
const { outside: OUTSIDE, node: NODE } = ADDRESSES;

let bench: HostNetworkBench;

beforeEach(async () => {
  bench = await HostNetworkBench.start();
  await bench.serve(bench.outside, "serve", "::", "7000", "outside");
});

afterEach(() => bench.close());

async function killHelper(): Promise<void> {
  const pid = bench.helper("warm");
  await bench.keeper.signal("warm.pasta", 9);
  await vi.waitFor(() => expect(bench.helper("warm")).not.toBe(pid));
}

describe("a network that a VM has ahead of its pod", () => {
  it("serves a pod without ports as it is, in the pod's control groups", async () => {
    const { guest, ahead } = await bench.connectAhead("warm");
    const helper = bench.helper("warm");
    expect(ahead.network).toEqual(await bench.networks.read(bench.pod("pod")));
    expect(await bench.try(guest, "get", OUTSIDE.v4, "7000")).toContain(`outside from ${NODE.v4}`);
    const directory = await mkdtemp(join(tmpdir(), "blazar-procs-"));
    const procs = join(directory, "cgroup.procs");
    expect(await bench.networks.ahead.give(ahead, bench.pod("pod"), [procs])).toBe(true);
    expect(await readFile(procs, "utf8")).toBe(String(helper));
    expect(bench.helper("warm")).toBe(helper);
    expect(await bench.try(guest, "get", OUTSIDE.v6, "7000")).toContain(`outside from ${NODE.v6}`);
    await rm(directory, { recursive: true });
    await bench.networks.disconnect(AHEAD);
    await bench.networks.disconnect(AHEAD);
    expect(await bench.left()).toEqual(NOTHING);
  });

  it("gets the ports that its pod declares, low ones too, which are free again after it", async () => {
    const { guest, ahead } = await bench.connectAhead("warm");
    const pod = bench.pod("pod", [port(80), port(9100)]);
    expect(await bench.networks.ahead.give(ahead, pod, [])).toBe(true);
    for (const number of ["80", "9100"]) {
      await bench.serve(guest, "serve", "::", number, "guest");
      expect(await bench.try(bench.outside, "get", NODE.v4, number)).toContain("guest from");
    }
    await expect(bench.networks.read(bench.pod("other", [port(9100)]))).rejects.toMatchObject({
      code: "PortInUse",
      message: expect.stringMatching(/9100\/tcp.*default\/pod/),
    });
    await bench.networks.disconnect(AHEAD);
    expect(await bench.left()).toEqual(NOTHING);
    await bench.networks.read(bench.pod("other", [port(9100)]));
  });

  it("fails a pod whose port a process of the host has, and gives its ports back", async () => {
    await bench.serve(bench.node, "serve", "::", "9100", "host");
    const { ahead } = await bench.connectAhead("warm");
    const pod = bench.pod("pod", [port(9100), port(9200)]);
    await expect(bench.networks.ahead.give(ahead, pod, [])).rejects.toMatchObject({
      code: "PortInUse",
      message: expect.stringMatching(/9100\/tcp.*the host itself.*in use/),
    });
    await bench.networks.read(bench.pod("other", [port(9200)]));
    await bench.networks.disconnect(AHEAD);
    expect(await bench.left()).toEqual(NOTHING);
  });

  it("outlives its helper once; then it is given to nobody, and the VM can be connected anew", async () => {
    const { guest, ahead } = await bench.connectAhead("warm");
    await killHelper();
    await vi.waitFor(
      async () => expect(await bench.try(guest, "get", OUTSIDE.v4, "7000")).toContain("outside from"),
      { timeout: 10_000 },
    );
    await killHelper();
    const pod = bench.pod("pod", [port(9100)]);
    await vi.waitFor(async () => expect(await bench.networks.ahead.give(ahead, pod, [])).toBe(false));
    await bench.networks.connect({ nics: ahead.nics }, pod, await bench.networks.read(pod), []);
    await bench.networks.disconnect(AHEAD);
    expect(await bench.try(guest, "get", OUTSIDE.v4, "7000")).toContain("outside from");
    await bench.networks.disconnect(pod);
    expect(await bench.left()).toEqual(NOTHING);
  });

  it("tells the pod that has it when it is lost", async () => {
    const { ahead } = await bench.connectAhead("warm");
    const pod = bench.pod("pod");
    await bench.networks.ahead.give(ahead, pod, []);
    const changes: unknown[] = [];
    bench.networks.watch(pod, ahead.network, (change) => changes.push(change));
    await killHelper();
    await vi.waitFor(() => expect(bench.helper("warm")).toBeDefined());
    await killHelper();
    await vi.waitFor(() =>
      expect(changes).toEqual([{ kind: "gone", reason: expect.stringContaining("signal 9") }]),
    );
  });

  it("ends while it is given", async () => {
    const { ahead } = await bench.connectAhead("warm");
    const given = bench.networks.ahead.give(ahead, bench.pod("pod", [port(9100)]), []).catch(() => false);
    await bench.networks.disconnect(AHEAD);
    await given;
    expect(await bench.left()).toEqual(NOTHING);
    await bench.networks.read(bench.pod("other", [port(9100)]));
  });

  it("is taken away by a later daemon", async () => {
    await bench.connectAhead("warm");
    bench.networks = bench.newNetworks();
    await bench.networks.disconnect(AHEAD);
    expect(await bench.left()).toEqual(NOTHING);
  });
});
