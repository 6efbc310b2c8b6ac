/** Port-forward of pods: what is dialled on a pod's localhost arrives at a server in its guest, and nothing grows. */
import { describe, expect, it, vi } from "vitest";
import { IDLE_MS, MAX_OF_A_POD, MAX_OF_THE_NODE } from "../../../../src/actors/vm/forward/port-forwarding.ts";
import { blazarError } from "../../../../src/contracts/errors.ts";
import { NO_NETWORK } from "../../../../src/contracts/pod-network.ts";
import type { MemoryConnection } from "../../../support/memory-host/forwards.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { podSpec } from "../../../support/memory-host/pods.ts";

const ID = "pod-1";

async function running(
  changes: Parameters<typeof podSpec>[1] = { netnsPath: "/run/netns/pod-1" },
  memory = new MemoryHost(),
) {
  const { sandboxes } = memory.actors();
  await sandboxes.create(podSpec(ID, changes));
  await sandboxes.start(ID);
  const { guest } = memory.driver.vm(ID);
  const dial = (port: number, family: 4 | 6 = 4): MemoryConnection => {
    const connection = memory.forwards.dial(ID, port, family);
    if (connection === undefined) throw new Error("nobody takes connections");
    return connection;
  };
  const end = async () => {
    await sandboxes.stop(ID, 0);
    await sandboxes.shutdown(ID);
    expect(memory.remains()).toEqual([]);
  };
  return { memory, sandboxes, guest, dial, end };
}

function warnings({ logger }: MemoryHost): string[] {
  return logger.lines.filter(({ level }) => level === "warn").map(({ message }) => message);
}

describe("a connection to a pod's localhost", () => {
  it("reaches the server at that port, with the family that was dialled, and its bytes go both ways", async () => {
    const { guest, dial, end } = await running();
    guest.servers.listening.set(80, { echo: true });
    const connection = dial(80, 6);
    connection.send("over ");
    connection.send("there");
    await vi.waitFor(() => expect(connection.received).toBe("over there"));
    expect(guest.servers.served[0]?.dial).toMatchObject({ port: 80, family: 6 });
    await end();
  });

  it("reaches it in a namespace without links, too", async () => {
    const memory = new MemoryHost();
    memory.networks.put("/run/netns/lonely", NO_NETWORK);
    const { guest, dial, end } = await running({ netnsPath: "/run/netns/lonely" }, memory);
    guest.servers.listening.set(80, { says: "hello" });
    const connection = dial(80);
    await vi.waitFor(() => expect(connection.received).toBe("hello"));
    await end();
  });

  it("is half-closed either way first, and over when both ways have ended", async () => {
    const { guest, dial, end } = await running();
    guest.servers.listening.set(80, { says: "hello" });
    const connection = dial(80);
    await vi.waitFor(() => expect(connection.ended).toBe(true));
    expect(connection.received).toBe("hello");
    connection.send("still here");
    await vi.waitFor(() => expect(guest.servers.served[0]?.received).toBe("still here"));
    connection.sendEnd();
    await vi.waitFor(() => expect(guest.servers.served[0]?.ended).toBe(true));
    expect(connection.wasReset).toBe(false);
    await end();
    expect(connection.wasReset).toBe(false);
  });

  it("ends at the server when whoever dialled has ended it, and the answer still comes", async () => {
    const { guest, dial, end } = await running();
    guest.servers.listening.set(80, { echo: true });
    const connection = dial(80);
    connection.send("question");
    connection.sendEnd();
    await vi.waitFor(() => expect(connection.ended).toBe(true));
    expect(connection.received).toBe("question");
    await end();
  });

  it("is reset at once if no server listens there", async () => {
    const { memory, dial, end } = await running();
    const connection = dial(81);
    await vi.waitFor(() => expect(connection.wasReset).toBe(true));
    expect(warnings(memory)).toEqual([]);
    await end();
  });

  it("is reset, and it is told why, if the guest cannot connect for another reason", async () => {
    const { memory, guest, dial, end } = await running();
    guest.faults.fails = { "network.dial": blazarError("GuestFailed", "connect", "Timed out") };
    const connection = dial(80);
    await vi.waitFor(() => expect(connection.wasReset).toBe(true));
    expect(warnings(memory).join()).toContain("did not reach the guest");
    await end();
  });

  it("is reset when the server resets it, and the server's when whoever dialled does", async () => {
    const { guest, dial, end } = await running();
    guest.servers.listening.set(80, {});
    const [one, other] = [dial(80), dial(80)];
    await vi.waitFor(() => expect([one.reading, other.reading]).toEqual([true, true]));
    guest.servers.served[0]?.reset();
    await vi.waitFor(() => expect(one.wasReset).toBe(true));
    other.break();
    await vi.waitFor(() => expect(guest.servers.served[1]?.wasReset).toBe(true));
    await end();
  });

  it("is reset when the guest is lost, and with the sandbox", async () => {
    const { memory, guest, dial, end } = await running();
    guest.servers.listening.set(80, {});
    const connection = dial(80);
    await vi.waitFor(() => expect(connection.reading).toBe(true));
    memory.driver.vm(ID).die(1, 0);
    await vi.waitFor(() => expect(connection.wasReset).toBe(true));
    await end();
    expect(memory.forwards.dial(ID, 80)).toBeUndefined();
  });
});

describe("the hold on a pod's namespace", () => {
  const netnsPath = "/run/netns/pod-1";

  it("ends when the namespace is lost under a running pod", async () => {
    const { memory, sandboxes, guest, dial, end } = await running({ netnsPath });
    guest.servers.listening.set(80, {});
    const connection = dial(80);
    await vi.waitFor(() => expect(connection.reading).toBe(true));
    memory.networks.remove(netnsPath);
    await vi.waitFor(() => expect(sandboxes.status(ID).phase).toBe("failed"));
    expect(connection.wasReset).toBe(true);
    expect(memory.forwards.remains).toEqual([]);
    await end();
  });

  it("ends when the VM could not be connected", async () => {
    const memory = new MemoryHost();
    const { sandboxes } = memory.actors();
    await sandboxes.create(podSpec(ID, { netnsPath }));
    memory.faults.add("connectNetwork");
    await expect(sandboxes.start(ID)).rejects.toMatchObject({ code: "HostResource" });
    expect(memory.forwards.opened).toBe(1);
    await vi.waitFor(() => expect(memory.remains()).toEqual([]));
  });
});

describe("what a guest can make grow", () => {
  it("is nothing: a server that takes nothing stops whoever sends to it", async () => {
    const { guest, dial, end } = await running();
    guest.servers.listening.set(80, { deaf: true });
    const connection = dial(80);
    const piece = new Uint8Array(32 * 1024);
    for (let sent = 0; sent < 40; sent++) connection.send(piece);
    await vi.waitFor(() => expect(guest.servers.served[0]?.received.length).toBeGreaterThan(0));
    await vi.waitFor(() => expect(connection.reading).toBe(false));
    expect(guest.servers.served[0]?.received.length).toBeLessThanOrEqual(128 * 1024);
    await end();
  });

  it("is nothing: whoever dialled and does not read stops the server", async () => {
    const { guest, dial, end } = await running();
    guest.servers.listening.set(80, {});
    const connection = dial(80);
    await vi.waitFor(() => expect(connection.reading).toBe(true));
    connection.stuck = [];
    guest.servers.served[0]?.sender.write(new Uint8Array(1024 * 1024));
    await vi.waitFor(() => expect(connection.received.length).toBeGreaterThan(64 * 1024));
    expect(connection.received.length).toBeLessThanOrEqual(128 * 1024);
    connection.unstick();
    await vi.waitFor(() => expect(connection.received.length).toBe(1024 * 1024));
    await end();
  });

  it("is bounded: one connection more than a pod may have is reset, and the others go on", async () => {
    const { memory, guest, dial, end } = await running();
    guest.servers.listening.set(80, { echo: true });
    const connections = Array.from({ length: MAX_OF_A_POD }, () => dial(80));
    expect(dial(80).wasReset).toBe(true);
    expect(dial(80).wasReset).toBe(true);
    expect(warnings(memory)).toHaveLength(1);
    const last = connections.at(-1);
    last?.send("x".repeat(5000));
    await vi.waitFor(() => expect(last?.received.length).toBe(5000));
    for (const connection of connections) expect(connection.wasReset).toBe(false);
    connections[0]?.break();
    const next = dial(80);
    next.send("room again");
    await vi.waitFor(() => expect(next.received).toBe("room again"));
    const windows = guest.servers.served.map(({ dial: { window } }) => window);
    // less than the agent lets wait for its link
    expect(windows.slice(0, MAX_OF_A_POD).reduce((sum, each) => sum + each)).toBeLessThan(5 * 1024 * 1024);
    await end();
  });

  it("is no node without port-forward: what clients have left at servers that never close makes room", async () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    try {
      const memory = new MemoryHost();
      const one = await running({ netnsPath: "/run/netns/pod-1" }, memory);
      one.guest.servers.listening.set(80, {}).set(81, { deaf: true }).set(82, { echo: true });
      const left = Array.from({ length: MAX_OF_A_POD }, (_, each) => one.dial(80 + (each % 2)));
      await vi.waitFor(() => expect(left.every(({ reading }) => reading)).toBe(true));
      for (const connection of left) connection.sendEnd();
      vi.advanceTimersByTime(IDLE_MS / 2);
      expect(one.dial(82).wasReset).toBe(true);
      vi.advanceTimersByTime(IDLE_MS / 2);
      const next = one.dial(82);
      next.send("room");
      await vi.waitFor(() => expect(next.received).toBe("room"));
      expect(left.filter(({ wasReset }) => wasReset)).toEqual([left[0]]);
      expect(one.guest.servers.served[0]?.wasReset).toBe(true);
      await one.end();
    } finally {
      vi.useRealTimers();
    }
  });

  it("is not what other pods may have: idle connections of all of them make room", async () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    try {
      const memory = new MemoryHost();
      const { sandboxes } = memory.actors();
      for (const id of ["a", "b", "c"]) {
        await sandboxes.create(podSpec(id, { netnsPath: `/run/netns/${id}` }));
        await sandboxes.start(id);
        memory.driver.vm(id).guest.servers.listening.set(80, { echo: true });
      }
      const dial = (id: string) => memory.forwards.dial(id, 80);
      const left = Array.from({ length: MAX_OF_THE_NODE }, (_, each) => dial(each % 2 === 0 ? "a" : "b"));
      const resets = () => left.flatMap((each, number) => (each?.wasReset === true ? [number] : []));
      // nobody is idle: the pod that has most gives way
      const first = dial("c");
      expect(resets()).toEqual([0]);
      await vi.waitFor(() => expect(left.slice(1).every((each) => each?.reading === true)).toBe(true));
      vi.advanceTimersByTime(IDLE_MS);
      left[1]?.send("in use");
      const other = dial("c");
      other?.send("room");
      await vi.waitFor(() => expect(other?.received).toBe("room"));
      expect(resets()).toEqual([0, 2]);
      expect(first?.wasReset).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("a pod without port-forward", () => {
  it("starts all the same where the kernel cannot do it; that is told once for all pods", async () => {
    const memory = new MemoryHost();
    memory.forwards.fault = "DependencyMissing";
    const { sandboxes } = memory.actors();
    for (const id of ["one", "two"]) {
      await sandboxes.create(podSpec(id, { netnsPath: `/run/netns/${id}` }));
      await sandboxes.start(id);
      expect(sandboxes.status(id).phase).toBe("ready");
    }
    expect(warnings(memory)).toHaveLength(1);
    for (const id of ["one", "two"]) await sandboxes.shutdown(id);
    expect(memory.remains()).toEqual([]);
  });

  it("is a hostNetwork pod: containerd dials in the host's own namespace", async () => {
    const { memory, end } = await running({});
    expect(memory.forwards.opened).toBe(0);
    await end();
  });
});
