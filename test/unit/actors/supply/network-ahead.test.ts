/** Warm VMs that have the host's network before a pod with hostNetwork comes: who takes them, and what becomes of the rest. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { NO_NETWORK } from "../../../../src/contracts/pod-network.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { podNetwork, podSpec } from "../../../support/memory-host/pods.ts";
import { rehearsable, WarmStock } from "../../../support/memory-host/warm-stock.ts";

const HOSTS = podNetwork(1);
const pod = podSpec("pod-1");
const other = podSpec("pod-2", { netnsPath: "/run/netns/pod-2" });

let memory: MemoryHost;
let stock: WarmStock;

/** A node whose last pods were `hostPods` with hostNetwork and `others` without. */
async function node({ hostPods = 1, others = 0, warm = 1 } = {}) {
  memory = new MemoryHost({ guest: () => rehearsable });
  memory.networks.host = HOSTS;
  const noting = (actors: ReturnType<MemoryHost["actors"]>) => {
    const { defaultShape } = memory.ports;
    for (let count = 0; count < hostPods; count++) actors.demand.note(defaultShape, true);
    for (let count = 0; count < others; count++) actors.demand.note(defaultShape, false);
  };
  stock = await WarmStock.of(memory, warm, undefined, noting);
  return stock.actors.sandboxes;
}

const networksOf = (id: string) =>
  (memory.journals.get(id)?.outstanding() ?? []).flatMap(({ resource }) =>
    resource.kind === "network" ? [resource.id] : [],
  );
const tellings = () =>
  stock.guests.map(({ requests }) => requests.filter(({ op }) => op === "network.apply"));

afterEach(async () => {
  await stock.end();
  expect(memory.remains()).toEqual([]);
});

describe("a warm VM with the host's network", () => {
  it("is there once pods with hostNetwork have come, and its guest has been told", async () => {
    await node();
    const [warm = ""] = stock.ids;
    expect(memory.networks.joined.get(warm)).toBe("");
    expect(networksOf(warm)).toEqual([warm]);
    expect(tellings()[0]?.at(-1)).toMatchObject({ params: { network: HOSTS } });
  });

  it.each([
    ["no pod has come", { hostPods: 0 }, 0],
    ["pods without hostNetwork have come", { hostPods: 0, others: 3 }, 0],
    ["few of the pods had it", { hostPods: 1, others: 5, warm: 2 }, 0],
    ["half of the pods had it, and there is one VM", { hostPods: 2, others: 2 }, 0],
    ["half of the pods had it", { hostPods: 2, others: 2, warm: 2 }, 1],
  ])("is made as often as it will be wanted: %s", async (_, given, count) => {
    await node(given);
    expect(memory.networks.joined.size).toBe(count);
  });

  it("becomes the pod's with its network, in the pod's journal", async () => {
    const sandboxes = await node();
    const [warm = ""] = stock.ids;
    await sandboxes.create(pod);
    await sandboxes.start(pod.id);
    expect(memory.networks.given.get(pod.id)).toBe(warm);
    expect(networksOf(pod.id)).toEqual([warm]);
    await sandboxes.stop(pod.id, 0);
    expect(memory.networks.joined.size).toBe(0);
  });

  it("is chosen by the pod that has its network, and left by others", async () => {
    const sandboxes = await node({ hostPods: 1, others: 1, warm: 2 });
    const [withNetwork] = memory.networks.joined.keys();
    await sandboxes.create(other);
    await sandboxes.create(pod);
    await sandboxes.start(pod.id);
    await sandboxes.start(other.id);
    expect(sandboxes.status(pod.id).info["vm"]).toBe(withNetwork);
    expect(sandboxes.status(other.id).info).toMatchObject({ boot: "pool" });
  });

  it("is connected elsewhere for a pod with a namespace, and lets go of the host's network", async () => {
    const sandboxes = await node();
    const [warm = ""] = stock.ids;
    const connect = vi.spyOn(memory.networks, "connect");
    await sandboxes.create(other);
    await sandboxes.start(other.id);
    expect(sandboxes.status(other.id).info).toMatchObject({ boot: "pool", vm: warm });
    expect(connect.mock.lastCall?.[0].nics).toEqual([{ tap: "tap0", namespace: `/ahead/${warm}` }]);
    await vi.waitFor(() => expect([...memory.networks.joined.keys()]).toEqual([other.id]));
    expect(networksOf(other.id)).toEqual([other.id]);
  });

  it.each([
    {
      if: "it has failed meanwhile",
      change: (warm: string) => {
        memory.networks.lost.add(warm);
      },
    },
    {
      if: "the host has other addresses now",
      change: () => {
        memory.networks.host = podNetwork(1, "10.99");
      },
    },
  ])("is connected anew if $if", async ({ change }) => {
    const sandboxes = await node();
    change(stock.ids[0] ?? "");
    await sandboxes.create(pod);
    await sandboxes.start(pod.id);
    await vi.waitFor(() => expect([...memory.networks.joined.keys()]).toEqual([pod.id]));
  });

  it("is not for a pod that has no network", async () => {
    const sandboxes = await node();
    const [warm] = stock.ids;
    memory.networks.host = NO_NETWORK;
    await sandboxes.create(pod);
    await sandboxes.start(pod.id);
    expect(sandboxes.status(pod.id).info["vm"]).not.toBe(warm);
    expect(memory.networks.joined.size).toBe(0);
  });

  it("ends with everything if its pod goes before it starts", async () => {
    const sandboxes = await node();
    await sandboxes.create(pod);
    await sandboxes.stop(pod.id, 0);
    expect(memory.networks.joined.size).toBe(0);
  });

  it("ends if it cannot be given, and so does the pod's start", async () => {
    const sandboxes = await node();
    memory.faults.add("connectNetwork");
    await sandboxes.create(pod);
    await expect(sandboxes.start(pod.id)).rejects.toMatchObject({ code: "HostResource" });
    expect(memory.networks.joined.size).toBe(0);
  });

  it("is done without for a while if it cannot be connected", async () => {
    memory = new MemoryHost({ guest: () => rehearsable });
    memory.networks.host = HOSTS;
    memory.faults.add("connectNetwork");
    stock = await WarmStock.of(memory, 1, undefined, ({ demand }) =>
      demand.note(memory.ports.defaultShape, true),
    );
    expect(memory.networks.joined.size).toBe(0);
    const warnings = memory.logger.lines.filter(({ message }) => /could not be connected/.test(message));
    expect(warnings).toHaveLength(1);
  });
});
