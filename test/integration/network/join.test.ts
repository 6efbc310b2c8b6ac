import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hasDeadJoint, type Joint, joinTaps, leaveTaps } from "../../../src/workers/network/join.ts";
import { PacketSocket, TestTap, VIRTIO_HEADER_BYTES } from "../../support/network/frames.ts";
import { Namespaces, type TestNamespace } from "../../support/network/namespaces.ts";

const BROADCAST = "ffffffffffff";
const GUEST_MAC = "02aabbccdd01";
const OTHER_MAC = "02aabbccdd02";
/** For local experiments. */
const ETHERTYPE = "88b5";

let namespaces: Namespaces;
let pod: TestNamespace;
let outside: TestNamespace;
let parking: TestNamespace;
let tap: TestTap;

beforeEach(() => {
  namespaces = new Namespaces();
  ({ pod, outside } = namespaces.pair());
  parking = namespaces.make("park");
  tap = TestTap.open(parking.path, "nic7");
});

afterEach(() => {
  tap.close();
  namespaces.close();
});

const joint = (changes: Partial<Joint> = {}): Joint => ({
  link: "eth0",
  mtu: 1500,
  nic: { tap: "nic7", namespace: parking.path },
  ...changes,
});

const indexOf = (namespace: TestNamespace, link: string): number =>
  namespace.ipJson(`link show ${link}`)[0].ifindex;

/** An Ethernet frame with so many bytes of payload. */
function frame(to: string, from: string, payload: number, type = ETHERTYPE): Uint8Array {
  return Buffer.concat([Buffer.from(to + from + type, "hex"), Buffer.alloc(payload, 0x5a)]);
}

const isOurs = (bytes: Uint8Array) => Buffer.from(bytes.subarray(12, 14)).toString("hex") === ETHERTYPE;
const sizes = (frames: readonly Uint8Array[]) => frames.filter(isOurs).map(({ length }) => length);

const ROUTER_SOLICITATION = 133;
const GROUP_REPORT = 143;

/** Type of an ICMPv6 message, with or without a hop-by-hop header before it; undefined for anything else. */
function icmp6Type(bytes: Uint8Array): number | undefined {
  if (Buffer.from(bytes.subarray(12, 14)).toString("hex") !== "86dd") return undefined;
  if (bytes[20] === 58) return bytes[54];
  return bytes[20] === 0 && bytes[54] === 58 ? bytes[54 + 8] : undefined;
}

/** Names of links, and everything of traffic control: what a joint leaves behind. */
function traces(namespace: TestNamespace): unknown {
  const links = namespace.ipJson("link show").map(({ ifname }: { ifname: string }) => ifname);
  const kept = links.filter((name: string) => name !== "lo");
  return {
    links,
    qdiscs: JSON.parse(namespace.tc("-j qdisc show")).filter(
      ({ kind }: { kind: string }) => kind !== "noqueue",
    ),
    filters: kept.map((name: string) => namespace.tc(`-j filter show dev ${name} ingress`).trim()),
    allmulti: namespace.ipJson("-d link show").map(({ allmulti }: { allmulti: number }) => allmulti),
  };
}

describe("a tap that is joined to a link", () => {
  it("carries frames both ways, broadcasts too, up to the MTU", async () => {
    const wire = PacketSocket.open(outside.path, indexOf(outside, "out0"));
    const joined = await joinTaps(pod.path, [joint()]);
    expect(joined.links).toEqual([{ name: "eth0", index: indexOf(pod, "eth0") }]);
    for (const [to, payload] of [
      [BROADCAST, 46],
      [OTHER_MAC, 1500],
    ] as const) {
      expect(tap.send(frame(to, GUEST_MAC, payload))).toBe(true);
      expect(sizes(wire.read())).toEqual([payload + 14]);
      expect(wire.write(frame(GUEST_MAC, OTHER_MAC, payload))).toBe(true);
      expect(sizes(tap.frames())).toEqual([payload + 14]);
    }
    wire.close();
  });

  it("is known to be gone by what it leaves behind, and by nothing that somebody else has made", async () => {
    pod.tc("qdisc add dev eth0 clsact");
    pod.tc("filter add dev eth0 ingress pref 7 protocol all u32 match u32 0 0");
    expect(hasDeadJoint(pod.path)).toBe(false);
    await joinTaps(pod.path, [joint()]);
    expect(hasDeadJoint(pod.path)).toBe(false);
    tap.close();
    expect(hasDeadJoint(pod.path)).toBe(true);
    leaveTaps(pod.path);
    expect(hasDeadJoint(pod.path)).toBe(false);
    expect(pod.tc("filter show dev eth0 ingress")).toContain("pref 7");
  });

  it.each([68, 1280, 9000])("has the link's MTU: %i", async (mtu) => {
    pod.ip(`link set eth0 mtu ${mtu}`);
    await joinTaps(pod.path, [joint({ mtu })]);
    expect(pod.ipJson("-d link show blazar0")[0]).toMatchObject({ mtu, linkinfo: { info_kind: "tun" } });
  });

  it("carries frames of the largest MTU that a link has, though a tap's own is smaller", async () => {
    pod.ip("link set eth0 mtu 65535");
    outside.ip("link set out0 mtu 65535");
    const wire = PacketSocket.open(outside.path, indexOf(outside, "out0"));
    await joinTaps(pod.path, [joint({ mtu: 65_535 })]);
    expect(tap.send(frame(OTHER_MAC, GUEST_MAC, 65_535))).toBe(true);
    expect(sizes(wire.read())).toEqual([65_549]);
    expect(wire.write(frame(GUEST_MAC, OTHER_MAC, 65_535))).toBe(true);
    expect(sizes(tap.frames())).toEqual([65_549]);
    wire.close();
  });

  it("passes a segment of 20 kB in one piece: nothing cuts it or computes its checksum on the way", async () => {
    const wire = PacketSocket.open(outside.path, indexOf(outside, "out0"));
    await joinTaps(pod.path, [joint()]);
    expect(tap.send(tcpSegment(20_000), gsoHeader())).toBe(true);
    const heard = wire.read().filter((bytes) => bytes.length > 1000);
    expect(heard.map(({ length }) => length)).toEqual([tcpSegment(20_000).length]);
    wire.close();
  });

  it("leaves the namespace's own stack without a word: no ARP, no neighbour discovery, no echo", async () => {
    pod.ip("address add 10.5.0.2/24 dev eth0");
    pod.ip("address add fd05::2/64 dev eth0 nodad");
    const wire = PacketSocket.open(outside.path, indexOf(outside, "out0"));
    // its address of the link's own is checked first: plugins wait for that, too
    while (JSON.stringify(pod.ipJson("address show eth0")).includes("tentative")) settleFor(50);
    await joinTaps(pod.path, [joint()]);
    wire.read();
    outside.ip("address add 10.5.0.1/24 dev out0");
    outside.ip("address add fd05::1/64 dev out0 nodad");
    for (const address of ["10.5.0.2", "fd05::2"]) expect(knock(outside, address)).toBe("silence");
    const podMac = pod.ipJson("link show eth0")[0].address.replaceAll(":", "");
    const heard = wire.read();
    expect(heard.length).toBeGreaterThan(0);
    const said = heard.filter((bytes) => Buffer.from(bytes.subarray(6, 12)).toString("hex") === podMac);
    // groups that it is in and a question for routers, once after the link came up: true of the guest as well
    expect(
      said.map(icmp6Type).filter((type) => type !== ROUTER_SOLICITATION && type !== GROUP_REPORT),
    ).toEqual([]);
    // the guest is asked instead, by ARP (0806) and by neighbour solicitation (86dd)
    const types = new Set(tap.frames().map((bytes) => Buffer.from(bytes.subarray(12, 14)).toString("hex")));
    expect([...types].toSorted()).toEqual(["0806", "86dd"]);
    // the addresses are still there: CNI's CHECK wants them
    expect(JSON.stringify(pod.ipJson("address show eth0"))).toContain("10.5.0.2");
    wire.close();
  });

  it("tells the guest nothing that the namespace's stack would say on a link that comes up", async () => {
    pod.ip("address add fd05::2/64 dev eth0 nodad");
    await joinTaps(pod.path, [joint()]);
    const heard: Uint8Array[] = [];
    for (let round = 0; round < 10; round++) {
      settleFor(200);
      heard.push(...tap.frames());
    }
    const tapMac = pod.ipJson("link show blazar0")[0].address.replaceAll(":", "");
    const sources = heard.map((bytes) => Buffer.from(bytes.subarray(6, 12)).toString("hex"));
    expect(sources).not.toContain(tapMac);
    expect(pod.ipJson("address show blazar0")[0].addr_info).toEqual([]);
  });

  it("hears all groups on a macvlan", async () => {
    const host = namespaces.make("host");
    host.ip("link add wire type veth peer name wire1");
    host.ip("link set wire up");
    host.ip("link set wire1 up");
    host.ip(`link add mv link wire type macvlan mode bridge`);
    host.ip(`link set mv netns ${pod.name} name net1`);
    pod.ip("link set net1 up");
    await joinTaps(pod.path, [joint({ link: "net1" })]);
    const wire = PacketSocket.open(host.path, indexOf(host, "wire1"));
    wire.write(frame("3333aabbccdd", OTHER_MAC, 60));
    settleFor(100);
    expect(sizes(tap.frames())).toEqual([74]);
    leaveTaps(pod.path);
    expect(pod.ipJson("-d link show net1")[0].allmulti).toBe(0);
    wire.close();
  });
});

describe("taking a joint apart", () => {
  it("leaves nothing, and can be done twice", async () => {
    const before = traces(pod);
    await joinTaps(pod.path, [joint()]);
    expect(traces(pod)).not.toEqual(before);
    leaveTaps(pod.path);
    leaveTaps(pod.path);
    expect(traces(pod)).toEqual(before);
  });

  it("gives the link back to the namespace", async () => {
    pod.ip("address add 10.5.0.2/24 dev eth0");
    outside.ip("address add 10.5.0.1/24 dev out0");
    await joinTaps(pod.path, [joint()]);
    leaveTaps(pod.path);
    expect(knock(outside, "10.5.0.2")).toBe("refused");
  });

  it("works when the VM is gone, and its tap with it", async () => {
    const before = traces(pod);
    await joinTaps(pod.path, [joint()]);
    tap.close();
    expect(pod.ipJson("link show").map(({ ifname }: { ifname: string }) => ifname)).not.toContain("blazar0");
    leaveTaps(pod.path);
    expect(traces(pod)).toEqual(before);
  });

  it("works when the namespace is gone, or was never one", async () => {
    await joinTaps(pod.path, [joint()]);
    namespaces.remove(pod);
    leaveTaps(pod.path);
    leaveTaps("/proc/self/status");
    leaveTaps("/proc/self/ns/mnt");
    leaveTaps("/proc/self/ns/net");
    expect(parking.ipJson("link show")).toHaveLength(1);
  });

  it("keeps what somebody else has on the link", async () => {
    pod.tc("qdisc add dev eth0 clsact");
    pod.tc("filter add dev eth0 ingress pref 5 protocol 0x88b6 u32 match u8 0 0 flowid :1");
    const before = traces(pod);
    await joinTaps(pod.path, [joint()]);
    leaveTaps(pod.path);
    expect(traces(pod)).toEqual(before);
  });

  // what a crash can leave: the steps are the kernel's objects, in the order in which they are made
  const steps: readonly (readonly [string, () => void])[] = [
    ["the tap has moved", () => parking.ip(`link set nic7 netns ${pod.name} name blazar0`)],
    ["the tap has a qdisc", () => pod.tc("qdisc add dev blazar0 clsact")],
    ["the tap's frames go out", () => redirect("blazar0", "eth0")],
    ["the tap is up", () => pod.ip("link set blazar0 up")],
    ["the link has a qdisc", () => pod.tc("qdisc add dev eth0 clsact")],
    ["the link's frames come in", () => redirect("eth0", "blazar0")],
  ];
  const redirect = (from: string, to: string) =>
    pod.tc(
      `filter add dev ${from} ingress pref 45474 protocol all u32 match u8 0 0 action mirred egress redirect dev ${to}`,
    );

  it.each(steps.map(([what], index) => [what, index] as const))("leaves nothing when %s", (_, last) => {
    const before = traces(pod);
    for (const [, step] of steps.slice(0, last + 1)) step();
    leaveTaps(pod.path);
    expect(traces(pod)).toEqual(before);
  });

  it("is done by the next joining, for what a broken one left", async () => {
    for (const [, step] of steps) step();
    const other = TestTap.open(parking.path, "nic8");
    await joinTaps(pod.path, [joint({ nic: { tap: "nic8", namespace: parking.path } })]);
    const wire = PacketSocket.open(outside.path, indexOf(outside, "out0"));
    other.send(frame(BROADCAST, GUEST_MAC, 50));
    expect(sizes(wire.read())).toEqual([64]);
    for (const end of [wire, other]) end.close();
  });
});

describe("a joining that fails", () => {
  it.each([
    ["the tap is gone", () => ({ nic: { tap: "nic9", namespace: parking.path } }), "VmmExited", /nic9/],
    [
      "the keeper is gone",
      () => ({ nic: { tap: "nic7", namespace: "/proc/1/fd/9999" } }),
      "VmmExited",
      /nic7/,
    ],
    ["the link is gone", () => ({ link: "eth9" }), "HostResource", /eth9/],
    ["the tap takes no such MTU", () => ({ mtu: 10 }), "HostResource", /MTU for 10/],
  ] as const)("says that %s and leaves nothing", async (_, changes, code, words) => {
    const before = traces(pod);
    const failed = joinTaps(pod.path, [joint(changes())]);
    await expect(failed).rejects.toMatchObject({ code, message: expect.stringMatching(words) });
    expect(traces(pod)).toEqual(before);
  });

  it("undoes the links that were joined before", async () => {
    const second = TestTap.open(parking.path, "nic8");
    pod.ip(`link add net1 type veth peer name net1p netns ${outside.name}`);
    pod.ip("link set net1 up");
    const before = traces(pod);
    const joints = [joint(), joint({ link: "net1", mtu: 10, nic: { tap: "nic8", namespace: parking.path } })];
    await expect(joinTaps(pod.path, joints)).rejects.toThrow(/MTU for 10/);
    expect(traces(pod)).toEqual(before);
    second.close();
  });

  it("names a namespace that is gone", async () => {
    namespaces.remove(pod);
    await expect(joinTaps(pod.path, [joint()])).rejects.toThrow(/no network namespace/);
  });
});

/** Whether the stack behind an address says that nobody listens at a port. */
function knock(from: TestNamespace, address: string): "refused" | "silence" {
  const script = `timeout 1 bash -c 'exec 3<>/dev/tcp/${address}/9' 2>&1; true`;
  return from.run("bash", ["-c", script]).includes("Connection refused") ? "refused" : "silence";
}

/** Waits while the kernel works: there is no event for what it does not do. */
function settleFor(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/** An IPv4 TCP segment with so many bytes of data, whose checksum is left to whoever cuts it. */
function tcpSegment(bytes: number): Uint8Array {
  const segment = Buffer.from(frame(OTHER_MAC, GUEST_MAC, 40 + bytes, "0800"));
  const total = 40 + bytes;
  segment.set([0x45, 0, total >> 8, total & 255, 0, 1, 0, 0, 64, 6, 0, 0, 10, 5, 0, 2, 10, 5, 0, 1], 14);
  segment.set([0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0], 34);
  return segment;
}

/** struct virtio_net_hdr: the checksum is partial, and the segment is to be cut at 1,448 bytes. */
function gsoHeader(): Uint8Array {
  const header = new DataView(new ArrayBuffer(VIRTIO_HEADER_BYTES));
  header.setUint8(0, 1);
  header.setUint8(1, 1);
  header.setUint16(2, 54, true);
  header.setUint16(4, 1448, true);
  header.setUint16(6, 34, true);
  header.setUint16(8, 16, true);
  return new Uint8Array(header.buffer);
}
