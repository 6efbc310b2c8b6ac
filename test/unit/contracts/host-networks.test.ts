import { describe, expect, it } from "vitest";
import {
  FORWARDED_RESOLVER,
  loopbackResolver,
  reachableResolvers,
} from "../../../src/contracts/host-networks.ts";

const SYSTEMD = "# made by systemd\nnameserver 127.0.0.53\noptions edns0\nsearch lan\n";

describe("a resolver on the host's loopback", () => {
  it("is found, and replaced by one that the guest reaches; the rest stays", () => {
    expect(loopbackResolver(SYSTEMD)).toBe("127.0.0.53");
    expect(reachableResolvers(SYSTEMD)).toBe(SYSTEMD.replace("127.0.0.53", FORWARDED_RESOLVER));
  });

  it.each([
    "nameserver 10.0.0.53\n",
    "",
    "nameserver ::1\n",
    "#nameserver 127.0.0.53\n",
    "search 127.0.0.53\n",
  ])("is not there in %j", (text) => {
    expect(loopbackResolver(text)).toBeUndefined();
    expect(reachableResolvers(text)).toBe(text);
  });

  it("is not in the way of others", () => {
    const text = "nameserver 10.0.0.53\nnameserver\t127.0.0.1\n";
    expect(loopbackResolver(text)).toBe("127.0.0.1");
    expect(reachableResolvers(text)).toBe(`nameserver 10.0.0.53\nnameserver\t${FORWARDED_RESOLVER}\n`);
  });
});
