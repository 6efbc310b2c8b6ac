/** VMs have network interfaces where the keeper may make taps, and none elsewhere. */

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { nicsOf } from "../../../src/daemon/nics.ts";

it("there is one for every VM where the keeper has CAP_NET_ADMIN and the host has taps", async () => {
  const effective = /^CapEff:\s+(.*)$/m.exec(await readFile("/proc/self/status", "utf8"))?.[1] ?? "0";
  const may = Math.floor(Number.parseInt(effective.slice(-8), 16) / 2 ** 12) % 2 === 1;
  expect(nicsOf({ pid: process.pid })).toBe(may && existsSync("/dev/net/tun") ? 1 : 0);
});

it("there is none where the keeper cannot be asked", () => {
  expect(nicsOf({ pid: 2 ** 30 })).toBe(0);
});
