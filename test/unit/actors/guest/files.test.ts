import { describe, expect, it } from "vitest";
import { hostsFile, resolvConf } from "../../../../src/actors/guest/files.ts";

const HOSTS = "127.0.0.1\tlocalhost\n10.0.0.1\tnode-1\n";
const network = {
  links: [
    {
      ...{ name: "eth0", mac: "0a:58:0a:01:00:02", mtu: 1500 },
      addresses: [
        { address: "10.1.0.2", prefix: 24, scope: 0 },
        { address: "fd00::2", prefix: 64, scope: 0 },
        { address: "fe80::1", prefix: 64, scope: 253 },
      ],
    },
  ],
  routes: [],
  neighbours: [],
};

describe("a pod's hosts file", () => {
  it("is the node's, with the pod's addresses", () => {
    expect(hostsFile(HOSTS, "pod-1", network)).toBe(`${HOSTS}10.1.0.2\tpod-1\nfd00::2\tpod-1\n`);
  });

  it("has the first part of a name with dots, too", () => {
    expect(hostsFile(HOSTS, "pod-1.sub.cluster.local", network)).toContain(
      "10.1.0.2\tpod-1.sub.cluster.local pod-1\n",
    );
  });

  it("leaves out a node's file that is too large", () => {
    const text = hostsFile("0.0.0.0 advertiser\n".repeat(10_000), "pod-1", network);
    expect(text).toMatch(/^127\.0\.0\.1\tlocalhost\n/);
    expect(text).not.toContain("advertiser");
  });

  it("knows a pod without a network, and localhost on a node without such a file", () => {
    expect(hostsFile("", "pod-1", undefined)).toBe(
      "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tpod-1\n",
    );
    expect(hostsFile("127.0.0.1 localhost", "localhost", undefined)).toBe("127.0.0.1 localhost");
    expect(hostsFile("127.0.0.1 localhost", "pod-1", undefined)).toBe(
      "127.0.0.1 localhost\n127.0.1.1\tpod-1\n",
    );
  });
});

describe("a pod's resolv.conf", () => {
  it("has its settings in containerd's order", () => {
    const dns = { servers: ["10.0.0.10", "fd00::a"], searches: ["a.local", "b.local"], options: ["ndots:5"] };
    expect(resolvConf(dns, "nameserver 192.0.2.1\n")).toBe(
      "search a.local b.local\nnameserver 10.0.0.10\nnameserver fd00::a\noptions ndots:5\n",
    );
  });

  it("is the node's without settings, and empty with empty ones", () => {
    expect(resolvConf(undefined, "nameserver 192.0.2.1\n")).toBe("nameserver 192.0.2.1\n");
    expect(resolvConf({ servers: [], searches: [], options: [] }, "nameserver 192.0.2.1\n")).toBe("");
  });
});
