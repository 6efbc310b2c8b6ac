/**
 * Forks of one original on the network: what the kernel keeps secret, and makes when it is first needed, is each fork's own.
 *
 * The sequence number of a connection is a keyed hash of its addresses and ports, plus a clock (RFC 6528). So of the same
 * connections of two forks, the numbers differ by the same if they have one key, and by anything if they have two.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../../lab/host/until.ts";
import type { GuestLink } from "../../../src/actors/guest/link.ts";
import { rehearseNetwork } from "../../../src/actors/supply/ahead/rehearsal-network.ts";
import type { PodNetwork } from "../../../src/contracts/pod-network.ts";
import type { Vm } from "../../../src/contracts/vm.ts";
import { type Guest, TemplateBench } from "../../support/bench/template.ts";
import { sandboxSetup } from "../../support/guest-requests.ts";
import { markShare } from "../../support/isolation.ts";
import { PacketSocket } from "../../support/network/frames.ts";

const PEER = "10.1.0.1";
const PORTS = [40_001, 40_002, 40_003, 40_004, 40_005, 40_006];
const LIMITS = { deadlineMs: 30_000 };
const route = { link: "eth0", type: 1, metric: 0, onlink: false };
const NETWORK: PodNetwork = {
  links: [
    {
      name: "eth0",
      mac: "0a:58:0a:01:00:02",
      mtu: 1500,
      addresses: [{ address: "10.1.0.2", prefix: 24, scope: 0 }],
    },
  ],
  routes: [
    { ...route, destination: "10.1.0.0/24", source: "10.1.0.2", scope: 253 },
    { ...route, destination: "0.0.0.0/0", gateway: PEER, scope: 0 },
  ],
  neighbours: [{ link: "eth0", address: PEER, mac: "0a:58:0a:01:00:01" }],
};

interface Syn {
  readonly port: number;
  readonly sequence: number;
}

let bench: TemplateBench;
let template = "";

beforeAll(async () => {
  bench = await TemplateBench.start();
  template = await bench.directory();
  await bench.build(template);
});
afterAll(() => bench.dispose());

/** TCP's first segment, if a frame is one. */
function synOf(frame: Uint8Array): Syn | undefined {
  const bytes = Buffer.from(frame);
  if (bytes.length < 54 || bytes.readUInt16BE(12) !== 0x0800 || bytes[23] !== 6) return undefined;
  const segment = bytes.subarray(14 + 4 * ((bytes[14] ?? 0) & 15));
  if (((segment[13] ?? 0) & 0x3f) !== 2) return undefined;
  return { port: segment.readUInt16BE(0), sequence: segment.readUInt32BE(4) };
}

/** The first segments of connections that lead nowhere: their ports in order, each with its sequence number. */
async function connect({ vm, run }: Guest, count: number): Promise<Map<number, number>> {
  const [nic] = vm.nics;
  if (nic === undefined) throw new Error("a VM without a NIC");
  const ip = (...words: string[]) =>
    execFileSync("nsenter", [`--net=${nic.namespace}`, "ip", ...words], { encoding: "utf8" });
  ip("link", "set", nic.tap, "up");
  const [link] = JSON.parse(ip("-j", "link", "show", nic.tap)) as { ifindex: number }[];
  const socket = PacketSocket.open(nic.namespace, link?.ifindex ?? 0);
  const found = new Map<number, number>();
  const collect = () => {
    for (const { port, sequence } of socket.read().flatMap((frame) => synOf(frame) ?? []))
      if (!found.has(port)) found.set(port, sequence);
    return found.size >= count ? found : undefined;
  };
  try {
    const done = run(`for each in ${"1 ".repeat(count)}; do nc -w 2 ${PEER} 80 & done; wait`);
    await until("segments", async () => collect());
    await done;
    return found;
  } finally {
    socket.close();
  }
}

/** Tells a guest its network again, and with it which ports its connections have. */
async function setUp({ link }: Guest, sysctls: Record<string, string>): Promise<void> {
  const entropy = randomBytes(64).toString("hex");
  await link.request("sandbox.setup", sandboxSetup({ network: NETWORK, sysctls, entropy }), LIMITS);
}

async function connectFromPorts(guest: Guest): Promise<Map<number, number>> {
  await setUp(guest, { "net.ipv4.ip_local_port_range": `${PORTS[0]} ${PORTS.at(-1)}` });
  const found = await connect(guest, PORTS.length);
  expect([...found.keys()].sort()).toEqual(PORTS);
  return found;
}

async function pair(prepare: (link: GuestLink) => Promise<void>, script: string): Promise<[Guest, Guest]> {
  const original: Vm = await bench.original(template, { prepare, script });
  const [one, two] = await Promise.all([bench.fork(original), bench.fork(original)]);
  for (const guest of [one, two]) {
    await markShare(guest);
    await guest.setUp("fork");
    await setUp(guest, {});
  }
  await original.kill();
  return [one, two];
}

/** By how much the sequence numbers of the same connections differ, from the first one's difference on. */
function spread(one: Map<number, number>, two: Map<number, number>): number {
  const differences = PORTS.map((port) => ((one.get(port) ?? 0) - (two.get(port) ?? 0)) >>> 0);
  const [first = 0] = differences;
  return Math.max(...differences.map((each) => Math.abs((each - first) | 0)));
}

/** What eight seconds add to sequence numbers. Different keys are further apart, but for once in a million times. */
const CLOCK = 2 ** 27;

describe.runIf(process.getuid?.() === 0)("two forks of one original, on the network,", () => {
  it("have their own sequence numbers, ports and neighbours", async () => {
    const signal = new AbortController().signal;
    const rehearse = (link: GuestLink) =>
      rehearseNetwork(link, { deadlines: { guestRequest: LIMITS.deadlineMs } }, signal);
    const [one, two] = await pair(rehearse, "true");
    for (const guest of [one, two])
      expect((await guest.run("ip neigh; ip route")).trim().split("\n")).toEqual([
        expect.stringMatching(/^10\.1\.0\.1 dev eth0 lladdr 0a:58:0a:01:00:01 .*PERMANENT/),
        expect.stringContaining("default via 10.1.0.1"),
        expect.stringContaining("10.1.0.0/24 dev eth0"),
      ]);
    // before the other connections, which would take these ports in turn
    const ports = async (guest: Guest) => [...(await connect(guest, 4)).keys()];
    expect(await ports(one)).not.toEqual(await ports(two));
    expect(spread(await connectFromPorts(one), await connectFromPorts(two))).toBeGreaterThan(CLOCK);
  }, 120_000);

  it("would share them if the original had opened a connection", async () => {
    const [one, two] = await pair(async () => undefined, "nc -w 1 127.0.0.1 9; true");
    expect(spread(await connectFromPorts(one), await connectFromPorts(two))).toBeLessThan(CLOCK);
  }, 120_000);
});
