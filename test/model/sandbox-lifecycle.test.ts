/**
 * Any order of calls and faults, against the real actors on a host in memory, with simulated time.
 *
 * The driver boots, clones and forks; there is a pool, and an original; templates and images come and go. Three promises hold in each
 * history. Every call is answered, once. No answer is anything but a result or a BlazarError. When everything has been shut
 * down, nothing is left: no VM, no resource, no journal, no lease on a template or an image, no turn, no user of a VMM. No image is
 * given back while a VM has it. What each call answers in each state is in the charts' own tests.
 *
 * `npm run test:model -- --runs N` takes any number of histories.
 */
import { fc, test } from "@fast-check/vitest";
import { afterEach, beforeEach, describe, expect, vi } from "vitest";
import { historyProblems } from "./histories.ts";
import { BYSTANDER, Run, spec } from "./run.ts";
import { FAULTLESS, isCrash, step, worlds } from "./steps.ts";

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

  const someSteps = fc.array(step, { minLength: 1, maxLength: 40 });
  test.prop([worlds, someSteps], { numRuns: RUNS })(
    "answer every call once and leave nothing, whatever is asked and whatever breaks",
    async (world, steps) => {
      const run = await Run.in(world, steps.some(isCrash));
      for (const each of steps) {
        run.take(each);
        await run.pass("time" in each ? each.time : 0);
      }
      await run.end();
      expect(run.wrong).toEqual([]);
      expect(run.memory.remains()).toEqual([]);
      expect(historyProblems(run.memory.histories)).toEqual([]);
      expect([...run.open.keys()]).toEqual([]);
      expect(run.actors.sandboxes.size).toBe(0);
    },
  );

  test.prop([fc.array(step, { minLength: 5, maxLength: 40 })], { numRuns: Math.ceil(RUNS / 4) })(
    "of one pod never touch those of another",
    async (steps) => {
      const run = await Run.in({ ...FAULTLESS, warm: 1, forks: true, imageAhead: true });
      await Promise.all([run.actors.sandboxes.create(spec(BYSTANDER)), run.pass(10)]);
      await Promise.all([run.actors.sandboxes.start(BYSTANDER), run.pass(10)]);
      for (const each of steps) {
        const isOthers = isCrash(each) || ("fault" in each && each.fault === "hostStep");
        run.take(isOthers ? { time: 0 } : each);
        await run.pass("time" in each ? each.time : 0);
      }
      expect(run.actors.sandboxes.status(BYSTANDER).phase).toBe("ready");
      await run.end();
      expect(run.wrong).toEqual([]);
      expect(run.memory.remains()).toEqual([]);
    },
  );
});
