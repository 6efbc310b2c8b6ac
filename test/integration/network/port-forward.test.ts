/** Connections to localhost in a network namespace of the test's own, and a guest that is none: what arrives, what does not. */
import { randomBytes } from "node:crypto";
import { readdirSync, readlinkSync } from "node:fs";
import type net from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { SteeredPortForwards } from "../../../src/host/network/port-forward.ts";
import { WorkerPool } from "../../../src/host/storage/worker-pool.ts";
import type { NetworkTasks } from "../../../src/workers/network/tasks.ts";
import { type Dialled, describePortForwards } from "../../support/conformance/port-forwards.ts";
import { MemoryHost } from "../../support/memory-host/host.ts";
import { podSpec } from "../../support/memory-host/pods.ts";
import { Namespaces, type TestNamespace } from "../../support/network/namespaces.ts";
import { dialIn, serveIn } from "../../support/network/sockets.ts";
import { bundleWorker, type WorkerBundle } from "../../support/worker-bundle.ts";

const isRoot = process.getuid?.() === 0;
const ID = "pod-1";

let bundle: WorkerBundle;
let pool: WorkerPool<NetworkTasks>;
const namespaces = new Namespaces();
let namespace: TestNamespace;

describe.skipIf(!isRoot)("port-forward in a real network namespace", () => {
  beforeAll(async () => {
    bundle = await bundleWorker("rootfs");
    pool = new WorkerPool<NetworkTasks>({ file: bundle.file, maxThreads: 1, idleTimeoutMs: 60_000 });
  });

  afterAll(async () => {
    await pool.close();
    await bundle.remove();
  });

  beforeEach(() => {
    namespace = namespaces.make("forward");
  });

  afterEach(() => namespaces.close());

  describe("as every port-forward", () => {
    describePortForwards(async () => ({
      forwards: new SteeredPortForwards(pool),
      pod: { id: ID, netnsPath: namespace.path },
      dial: (port, family) => dialled(dialIn(namespace.path, family === 6 ? "::1" : "127.0.0.1", port)),
    }));
  });

  /** A pod that runs, with a fake guest, and its port-forward in the real namespace. */
  async function running(netnsPath = namespace.path) {
    const memory = new MemoryHost();
    Object.assign(memory.ports, { forwards: new SteeredPortForwards(pool) });
    const { sandboxes } = memory.actors();
    await sandboxes.create(podSpec(ID, { netnsPath }));
    await sandboxes.start(ID);
    const end = async () => {
      await sandboxes.stop(ID, 0);
      await sandboxes.shutdown(ID);
      expect(memory.remains()).toEqual([]);
    };
    return { memory, guest: memory.driver.vm(ID).guest, end };
  }

  test("lo comes up if no plugin has done it, and both of its addresses lead to the guest", async () => {
    namespace.ip("link set lo down");
    const { guest, end } = await running();
    guest.servers.listening.set(80, { says: "from the guest" });
    for (const address of ["127.0.0.1", "::1"])
      expect(await everything(dialIn(namespace.path, address, 80))).toBe("from the guest");
    expect(guest.servers.served.map(({ dial }) => dial.family)).toEqual([4, 6]);
    await end();
  });

  test("no other address, protocol or listener is touched", async () => {
    namespace.ip("address add 10.1.2.3/32 dev lo");
    const { guest, end } = await running();
    guest.servers.listening.set(80, { says: "from the guest" });
    const own = await serveIn(namespace.path, "10.1.2.3", 80, (socket) => socket.end("from the namespace"));
    expect(await everything(dialIn(namespace.path, "10.1.2.3", 80))).toBe("from the namespace");
    for (const address of ["127.0.0.2", "10.1.2.3"])
      expect(dialIn(namespace.path, address, 81)).toBeUndefined();
    // ICMP says so at once if nobody takes a datagram
    expect(() =>
      namespace.run("bash", ["-c", "exec 3<>/dev/udp/127.0.0.1/80; echo >&3; echo >&3"]),
    ).toThrow();
    expect(guest.servers.served).toEqual([]);
    own.close();
    await end();
  });

  test("a port that nobody listens on is an error at once", async () => {
    const { end } = await running();
    const started = performance.now();
    const client = dialled(dialIn(namespace.path, "127.0.0.1", 81));
    await vi.waitFor(() => expect(client?.wasReset).toBe(true));
    expect(performance.now() - started).toBeLessThan(500);
    expect(client?.received).toBe("");
    await end();
  });

  test("100 connections at once, each with bytes of its own, and each half-closed by whoever dialled", async () => {
    const { guest, end } = await running();
    guest.servers.listening.set(80, { echo: true });
    const each = Array.from({ length: 100 }, async (_, number) => {
      const bytes = randomBytes(50_000 + number);
      const socket = dialIn(namespace.path, number % 2 === 0 ? "127.0.0.1" : "::1", 80);
      const answer = collected(socket);
      socket?.end(bytes);
      return Buffer.compare(await answer, bytes);
    });
    expect(new Set(await Promise.all(each))).toEqual(new Set([0]));
    expect(guest.servers.served).toHaveLength(100);
    await end();
  });

  test("megabytes go through whole, both ways at once", async () => {
    const { guest, end } = await running();
    guest.servers.listening.set(80, { echo: true });
    const bytes = randomBytes(16 * 1024 * 1024);
    const socket = dialIn(namespace.path, "127.0.0.1", 80);
    const answer = collected(socket);
    socket?.end(bytes);
    expect(Buffer.compare(await answer, bytes)).toBe(0);
    await end();
  });

  test("with the pod go its connections, its descriptors and its hold on the namespace", async () => {
    // the worker's thread is there, and has what it keeps
    await (await running()).end();
    const before = descriptors();
    const { guest, end } = await running();
    guest.servers.listening.set(80, {});
    const client = dialled(dialIn(namespace.path, "127.0.0.1", 80));
    await vi.waitFor(() => expect(guest.servers.served).toHaveLength(1));
    expect(descriptors().length).toBeGreaterThan(before.length);
    await end();
    await vi.waitFor(() => expect(client?.wasReset).toBe(true));
    expect(dialIn(namespace.path, "127.0.0.1", 80)).toBeUndefined();
    await vi.waitFor(() => expect(descriptors()).toHaveLength(before.length));
  });

  test("a namespace that is gone, is none or is the host's own costs the pod its port-forward only", async () => {
    for (const path of ["/run/netns/blazar-test-none", "/etc/passwd", "/proc/self/ns/net"]) {
      const before = descriptors();
      const { memory, end } = await running(path);
      const warnings = memory.logger.lines.filter(({ level }) => level === "warn");
      expect(warnings.map(({ message }) => message)).toEqual(["the pod has no port-forward"]);
      expect(JSON.stringify(warnings[0]?.fields["err"])).toContain("HostResource");
      expect(descriptors()).toHaveLength(before.length);
      await end();
    }
  });
});

/** What a connection's client sees. */
function dialled(socket: net.Socket | undefined): Dialled | undefined {
  if (socket === undefined) return undefined;
  const seen = { received: "", ended: false, wasReset: false };
  socket.on("data", (bytes) => {
    seen.received += bytes.toString();
  });
  socket.on("end", () => {
    seen.ended = true;
  });
  socket.on("error", (error: NodeJS.ErrnoException) => {
    seen.wasReset = error.code === "ECONNRESET";
  });
  const send = (text: string) => void socket.write(text);
  return Object.assign(seen, {
    send,
    sendEnd: () => void socket.end(),
    break: () => void socket.resetAndDestroy(),
  });
}

/** All bytes until the end. Rejects at a reset. */
async function collected(socket: net.Socket | undefined): Promise<Buffer> {
  if (socket === undefined) throw new Error("it was refused");
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function everything(socket: net.Socket | undefined): Promise<string> {
  return (await collected(socket)).toString();
}

/** What this process has open. */
function descriptors(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [`${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`];
    } catch {
      // the descriptor of the directory itself
      return [];
    }
  });
}
