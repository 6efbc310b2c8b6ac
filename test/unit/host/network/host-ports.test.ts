import { describe, expect, it } from "vitest";
import type { PodPort } from "../../../../src/contracts/sandbox.ts";
import { HostPorts, portSpec } from "../../../../src/host/network/host-network/host-ports.ts";

const port = (hostPort: number, changes: Partial<PodPort> = {}): PodPort => ({
  ...{ protocol: "tcp", hostPort, containerPort: hostPort, hostIp: "" },
  ...changes,
});
const pod = (name: string, ...ports: PodPort[]) => ({ id: `id-${name}`, name, namespace: "shop", ports });

describe("ports of the host", () => {
  it("are one pod's, and free again after it", () => {
    const ports = new HostPorts();
    ports.claim(pod("one", port(80), port(443)));
    expect(() => ports.claim(pod("two", port(443)))).toThrow(
      /port 443\/tcp of the host belongs to the pod shop\/one/,
    );
    ports.release("id-one");
    expect(ports.claim(pod("two", port(443)))).toHaveLength(1);
  });

  it("are claimed by a pod again as often as it likes", () => {
    const ports = new HostPorts();
    for (const _ of [1, 2]) expect(ports.claim(pod("one", port(80)))).toHaveLength(1);
  });

  it.each([
    ["another protocol", port(53), port(53, { protocol: "udp" })],
    ["another address", port(53, { hostIp: "10.0.0.1" }), port(53, { hostIp: "10.0.0.2" })],
  ])("are told apart by %s", (_, first, second) => {
    const ports = new HostPorts();
    ports.claim(pod("one", first));
    expect(ports.claim(pod("two", second))).toHaveLength(1);
  });

  it.each(["", "0.0.0.0", "::"])("of every address (%j) are of each", (hostIp) => {
    const ports = new HostPorts();
    ports.claim(pod("one", port(53, { hostIp })));
    expect(() => ports.check(pod("two", port(53, { hostIp: "10.0.0.2" })))).toThrow(/53\/tcp/);
  });

  it("may be declared by two containers of a pod alike, but not to two ends", () => {
    const ports = new HostPorts();
    expect(ports.check(pod("one", port(80), port(80)))).toHaveLength(1);
    expect(() => ports.check(pod("one", port(80), port(80, { containerPort: 81 })))).toThrow(/the same pod/);
  });

  it("are the container's where no other is named", () => {
    const [both] = new HostPorts().check(pod("one", port(0, { containerPort: 8080 })));
    expect(both).toMatchObject({ host: 8080, guest: 8080 });
  });

  it("are refused for SCTP by name", () => {
    expect(() => new HostPorts().check(pod("one", port(132, { protocol: "sctp" })))).toThrow(
      /port 132: SCTP/,
    );
  });

  it.each([
    [port(70_000), /70000 is no port/],
    [port(-1), /-1 is no port/],
    [port(0), /0 is no port/],
    [port(80, { containerPort: 65_536 }), /65536 is no port/],
    [port(80, { hostIp: "nonsense" }), /port 80: the hostIP "nonsense" is no IP address/],
    [port(80, { hostIp: "10.0.0.1/22," }), /is no IP address/],
    [port(80, { hostIp: "fe80::1%eth0" }), /is no IP address/],
  ])("are refused if they are none: %j", (one, words) => {
    expect(() => new HostPorts().check(pod("one", one))).toThrow(
      expect.objectContaining({ code: "InvalidSpec", message: expect.stringMatching(words) }),
    );
  });

  it("are at most as many as pasta takes", () => {
    const many = (count: number) => pod("one", ...Array.from({ length: count }, (_, each) => port(each + 1)));
    expect(new HostPorts().check(many(255))).toHaveLength(255);
    expect(() => new HostPorts().check(many(256))).toThrow(/256 ports; there may be 255/);
  });

  it("of one address are one's, however it is written", () => {
    const ports = new HostPorts();
    ports.claim(pod("one", port(53, { hostIp: "fd00::1" })));
    expect(() => ports.check(pod("two", port(53, { hostIp: "FD00:0:0::1" })))).toThrow(/53\/tcp/);
    expect(() => ports.check(pod("two", port(53, { hostIp: "0:0::0" })))).toThrow(/53\/tcp/);
  });

  it("are told to pasta in its own words", () => {
    const spec = (changes: Partial<PodPort>) =>
      new HostPorts().check(pod("one", port(80, changes))).map(portSpec);
    expect(spec({})).toEqual(["80"]);
    expect(spec({ containerPort: 8080 })).toEqual(["80:8080"]);
    expect(spec({ hostIp: "10.0.0.1" })).toEqual(["10.0.0.1/80"]);
    expect(spec({ hostIp: "fd00::1" })).toEqual(["fd00::1/80"]);
  });
});
