/** Leases that a daemon had taken and not written down when it died. */
import { expect, it } from "vitest";
import { releaseLostLeases } from "../../../../src/actors/images/lost-leases.ts";
import type { HostResource } from "../../../../src/actors/resources/kinds/kinds.ts";
import { CapturedLogger } from "../../../support/captured-logger.ts";
import { MemoryImages } from "../../../support/memory-host/images.ts";

const LOWER = ["/layers/1"];

async function storeWith(...holders: string[]): Promise<MemoryImages> {
  const images = new MemoryImages({ identify: async (lower) => lower.join() });
  for (const holder of holders) await images.use(LOWER, holder);
  return images;
}

function rootOf(containerId: string): HostResource {
  const disk = { path: "/d", filesystem: "ext4", owned: true, readonly: false, kept: false };
  const guest = { kind: "image", path: "", readonly: false } as const;
  const lower = { kind: "image", key: "k", path: "/k" } as const;
  return { kind: "rootfs", plan: { containerId, lower, disk, guest, owner: undefined } };
}

it("are given back, but for those that a journal still names", async () => {
  const images = await storeWith("lost", "named");
  const logger = new CapturedLogger();
  const recovered = [
    { left: [], keptAside: undefined },
    { left: [rootOf("named"), { kind: "directory", path: "/run" } as const], keptAside: undefined },
  ];
  await releaseLostLeases(recovered, images, logger);
  expect(images.leases).toEqual(["/layers/1 of named"]);
  expect(logger.lines).toMatchObject([{ level: "warn", fields: { holders: ["lost"] } }]);
});

it("stay if a journal cannot be read, and if the store cannot be", async () => {
  const images = await storeWith("lost");
  const logger = new CapturedLogger();
  await releaseLostLeases([{ left: [], keptAside: "/journals/x.jsonl.unreadable" }], images, logger);
  expect(logger.lines).toEqual([]);
  const broken = { releaseLost: () => Promise.reject(new Error("no such disk")) };
  await releaseLostLeases([], broken, logger);
  expect(logger.lines).toMatchObject([{ level: "warn" }]);
  expect(images.leases).toHaveLength(1);
});
