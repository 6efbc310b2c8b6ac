/**
 * What every {@link Keeper} promises, run against the real one and against the fake.
 */
import { afterEach, beforeEach, describe } from "vitest";
import type { KeeperBench } from "./keeper-bench.ts";
import { deathPromises } from "./keeper-death.ts";
import { networkPromises, uplinkPromises } from "./keeper-networks.ts";
import { forkPromises, processPromises } from "./keeper-processes.ts";
import { inputPromises, outputPromises, taskPromises } from "./keeper-streams.ts";

export function describeKeeper(name: string, makeBench: () => Promise<KeeperBench>): void {
  describe(`${name} keeps the keeper's promises`, () => {
    let bench: KeeperBench;
    beforeEach(async () => {
      bench = await makeBench();
    });
    afterEach(async () => {
      await bench.dispose();
    });
    describe("processes", () => processPromises(() => bench));
    describe("forks", () => forkPromises(() => bench));
    describe("uplinks", () => uplinkPromises(() => bench));
    describe("output", () => outputPromises(() => bench));
    describe("input", () => inputPromises(() => bench));
    describe("Task messages", () => taskPromises(() => bench));
    describe("networks", () => networkPromises(() => bench));
    describe("its death", () => deathPromises(() => bench));
  });
}
