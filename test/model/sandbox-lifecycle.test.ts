/**
 * Any order of calls, faults and deaths of the daemon, against the real actors on a host in memory, with simulated time.
 *
 * The driver boots, clones and forks; there is a pool, and an original; templates and images come and go. In each history:
 * every call is answered, once, with a result or a BlazarError. A stop that is answered has stopped. At no time is there
 * anything on the host that no journal names. A daemon that follows a dead one has all that ran: processes, records, pids, exit
 * codes (kept.ts). containerd is told of each end once (told.ts). When everything has been shut down, nothing is left, and no image
 * was given back while a VM had it. What each call answers in each state is in the charts' own tests.
 *
 * `npm run test:model -- --runs N` takes any number of histories.
 */
import { fc, test } from "@fast-check/vitest";
import { afterEach, beforeEach, describe, expect, vi } from "vitest";
import { missing } from "../support/memory-host/claims.ts";
import { historyProblems } from "./histories.ts";
import { Run } from "./run.ts";
import { histories, isCrash, isFault, isWell, step, wellWorlds, worlds } from "./steps.ts";

// nothing in memory is a process of the real host, and a look there takes real time
vi.mock("../../src/lib/processes/processes.ts", async (original) => ({
  ...(await original<typeof import("../../src/lib/processes/processes.ts")>()),
  isAlive: async () => false,
}));

/** Histories of the first property; the second takes a quarter of it. */
const RUNS = Number(process.env["BLAZAR_MODEL_RUNS"] ?? 2_000);

describe("sandboxes", () => {
  beforeEach(() => {
    vi.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date", "performance"],
    });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  test.prop([worlds, histories], { numRuns: RUNS })(
    "answer every call once and leave nothing, whatever is asked and whatever breaks",
    async (world, steps) => {
      const run = await Run.in(world, steps.some(isCrash));
      for (const each of steps) {
        run.take(each);
        await run.pass("time" in each ? each.time : 0);
      }
      await run.settle();
      if (isWell(world) && !steps.some(isFault)) expect(missing(run.memory)).toEqual([]);
      await run.end();
      expect(run.wrong).toEqual([]);
      expect(run.memory.remains()).toEqual([]);
      expect(historyProblems(run.memory.histories)).toEqual([]);
      expect([...run.open.keys()]).toEqual([]);
      expect(run.actors.sandboxes.size).toBe(0);
    },
  );

  const anySteps = fc.array(step, { minLength: 5, maxLength: 30, size: "medium" });
  test.prop([wellWorlds, anySteps], { numRuns: Math.ceil(RUNS / 4) })(
    "of one pod never touch those of another, not even by a daemon that dies",
    async (world, steps) => {
      const run = await Run.in(world, true);
      const isRunning = await run.startBystander();
      for (const each of steps) {
        // a step of the host that fails once may be the bystander's, and the keeper is everybody's
        const isOthers = "fault" in each && ["hostStep", "keeperDies"].includes(each.fault);
        run.take(isOthers ? { time: 0 } : each);
        await run.pass("time" in each ? each.time : 0);
      }
      await run.settle();
      expect(isRunning()).toEqual([]);
      await run.end();
      expect(run.wrong).toEqual([]);
      expect(run.memory.remains()).toEqual([]);
    },
  );
});
