/** Addresses that can only be reached from this host. */
import { describe, expect, it } from "vitest";
import { loopbackAddress } from "../../../src/lib/sockets/loopback.ts";

describe("an address to listen on", () => {
  it.each([
    ["127.0.0.1:9477", { host: "127.0.0.1", port: 9477 }],
    ["127.8.9.1:1", { host: "127.8.9.1", port: 1 }],
    ["[::1]:9477", { host: "::1", port: 9477 }],
    ["localhost:0", { host: "127.0.0.1", port: 0 }],
  ])("%s is of the loopback", (text, address) => {
    expect(loopbackAddress(text)).toEqual(address);
  });

  it.each([
    "0.0.0.0:9477",
    "[::]:9477",
    "10.0.0.1:80",
    ":9477",
    "127.0.0.1",
    "127.0.0.1:99999",
    "node:1",
    "127.evil:1",
  ])("%s is refused", (text) => {
    expect(loopbackAddress(text)).toBeUndefined();
  });
});
