import { isIP } from "node:net";
import { fc, test } from "@fast-check/vitest";
import { describe, expect, it } from "vitest";
import { BlazarError } from "../../../../src/contracts/errors.ts";
import {
  ipBytes,
  ipText,
  macBytes,
  macText,
  networkOf,
} from "../../../../src/protocol/netlink/address-text.ts";
import { addAddress, addressOf } from "../../../../src/protocol/netlink/addresses.ts";
import { encodeMessage } from "../../../../src/protocol/netlink/exchange.ts";
import { linkOf, setLink } from "../../../../src/protocol/netlink/links.ts";
import { neighbourOf, setNeighbour } from "../../../../src/protocol/netlink/neighbours.ts";
import { messagesOf, type NetlinkMessage } from "../../../../src/protocol/netlink/reader.ts";
import { addRoute, routeOf } from "../../../../src/protocol/netlink/routes.ts";
import { filterOf } from "../../../../src/protocol/netlink/traffic.ts";
import type { NetlinkRequest } from "../../../../src/protocol/netlink/writer.ts";

const ip4 = fc.ipV4();
const ip6 = fc.ipV6();
const mac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map((bytes) => macText(bytes) ?? "");
const name = fc.stringMatching(/^[a-z][a-z0-9.-]{0,14}$/);
const u32 = fc.integer({ min: 1, max: 0x7fff_ffff });

/** What the kernel would send of an object that was asked for. */
function echoed(request: NetlinkRequest): NetlinkMessage {
  const [message, ...others] = messagesOf(encodeMessage(request, request.flags, 7));
  if (message === undefined) throw new Error("no message");
  expect(others).toEqual([]);
  return message;
}

describe("addresses as text", () => {
  test.prop([fc.oneof(ip4, ip6)])("are the same after bytes and back", (text) => {
    const bytes = ipBytes(text);
    expect(bytes).toBeDefined();
    if (bytes === undefined) return;
    const again = ipText(bytes) ?? "";
    expect(isIP(again)).toBe(isIP(text));
    expect(ipBytes(again)).toEqual(bytes);
    if (isIP(text) === 6 && !again.startsWith("::ffff:"))
      expect(again).toBe(new URL(`http://[${text}]`).hostname.slice(1, -1));
  });

  test.prop([fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f:./]{0,50}$/))])(
    "are none where Node finds none",
    (text) => {
      expect(ipBytes(text) !== undefined).toBe(isIP(text) !== 0);
    },
  );

  test.prop([mac])("of hardware are the same after bytes and back", (text) => {
    expect(macText(macBytes(text) ?? new Uint8Array(0))).toBe(text);
  });

  it("have a prefix of so many bits as they have", () => {
    expect(networkOf("10.0.0.0/8")).toMatchObject({ prefix: 8 });
    expect(networkOf("::/0")).toMatchObject({ prefix: 0 });
    for (const wrong of ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "/8", "::/129", "::/"])
      expect(networkOf(wrong), wrong).toBeUndefined();
  });
});

describe("messages", () => {
  test.prop([fc.uint8Array({ maxLength: 200 })])("of any bytes are read or refused as malformed", (bytes) => {
    expectReadOrMalformed(() => messagesOf(bytes));
  });

  const readers = { linkOf, addressOf, routeOf, neighbourOf, filterOf };
  const types = { linkOf: 16, addressOf: 20, routeOf: 24, neighbourOf: 28, filterOf: 44 };
  for (const [what, read] of Object.entries(readers))
    test.prop([fc.uint8Array({ maxLength: 120 })])(
      `${what} takes any body or refuses it as malformed`,
      (body) => {
        const type = types[what as keyof typeof types];
        expectReadOrMalformed(() => read({ type, flags: 0, sequence: 1, body }));
      },
    );

  test.prop([
    u32,
    fc.oneof(
      ip4.map((a) => [a, 32] as const),
      ip6.map((a) => [a, 128] as const),
    ),
  ])("of an address are read as they were written", (index, [address, most]) => {
    const read = addressOf(echoed(addAddress(index, { address, prefix: most, scope: 253, flags: 0x202 })));
    expect(read).toMatchObject({ index, prefix: most, scope: 253, flags: 0x202 });
    expect(ipBytes(read.address)).toEqual(ipBytes(address));
    expect(read.peer).toBeUndefined();
  });

  test.prop([u32, ip4, u32, fc.option(u32, { nil: undefined }), fc.boolean()])(
    "of a route are read as they were written",
    (link, gateway, metric, mtu, onlink) => {
      const route = { destination: "10.0.0.0/8", link, gateway, scope: 0, type: 1, metric, mtu, onlink };
      expect(routeOf(echoed(addRoute(route)))).toMatchObject({ ...route, beyond: undefined, table: 254 });
    },
  );

  it("of a route know an IPv6 gateway of an IPv4 network", () => {
    const route = {
      destination: "0.0.0.0/0",
      link: 3,
      gateway: "fe80::1",
      scope: 0,
      type: 1,
      metric: 0,
      onlink: false,
    };
    expect(routeOf(echoed(addRoute(route)))).toMatchObject({ gateway: "fe80::1", family: 2 });
  });

  test.prop([u32, name, mac, u32])(
    "of a link are read as they were written",
    (index, linkName, address, mtu) => {
      const message = echoed(setLink(index, { name: linkName, mac: address, mtu, up: true, addressMode: 1 }));
      const read = linkOf({ ...message, type: 16 });
      expect(read).toMatchObject({ index, name: linkName, mac: address, mtu, up: true, addressMode: 1 });
    },
  );

  test.prop([u32, ip6, mac])("of a neighbour are read as they were written", (index, address, hardware) => {
    const read = neighbourOf(echoed(setNeighbour(index, address, hardware)));
    expect(read).toMatchObject({ index, mac: hardware, permanent: true });
  });

  it("are not written of what is no address", () => {
    expect(() => addAddress(1, { address: "10.0.0", prefix: 8 })).toThrow(RangeError);
    expect(() => addAddress(1, { address: "10.0.0.1", prefix: 33 })).toThrow(RangeError);
    expect(() => addAddress(1, { address: "10.0.0.1", prefix: 8, peer: "::1" })).toThrow(RangeError);
    expect(() => setLink(1, { name: "eth0\0" })).toThrow(RangeError);
    expect(() => setLink(1, { mac: "1:2" })).toThrow(RangeError);
  });
});

function expectReadOrMalformed(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(BlazarError);
    expect(error).toMatchObject({ code: "FrameMalformed" });
  }
}
