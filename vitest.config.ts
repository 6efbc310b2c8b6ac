/**
 * Four kinds of tests (test/README.md). `unit` and `model` need only the npm packages and run in parallel.
 *
 * `integration` boots real VMs and `e2e` real containerds. Two cores carry one such file at a time, so they come last
 * and one by one. Their deadlines fit software emulation. `observability` needs programs that nothing else does, so it is only
 * there for `npm run test:metrics`; so is `ui`, which needs a browser, for `npm run test:ui`, and
 * `faults`, which stops and starves real daemons, for `npm run test:faults`.
 */
import { defineConfig } from "vitest/config";
import { versionDefine } from "./setup/lib/version.ts";

const SECOND = 1000;
/** No deadline. */
const NONE = 0;
/** `npm run test:model -- --runs N` asks for any number of histories. */
const MODEL_TIMEOUT = process.env["BLAZAR_MODEL_RUNS"] === undefined ? 600 * SECOND : NONE;

/** What only `npm run test:ui` has. */
const UI = process.env["BLAZAR_CHROMIUM"] !== undefined;
/** What only `npm run test:metrics` has. */
const OBSERVABILITY = process.env["BLAZAR_PROMTOOL"] !== undefined;

/** A project whose tests are in the folder of its name. @param place among the projects; equal ones run together */
function project(name: string, place: number, testTimeout: number) {
  return { name, include: [`test/${name}/**/*.test.ts`], testTimeout, sequence: { groupOrder: place } };
}

/** What only `npm run test:faults` has. */
const FAULTS = process.env["BLAZAR_FAULTS"] !== undefined;

/** One file at a time, on real VMs. */
function heavyProject(name: string, place: number, timeout: number) {
  return { ...project(name, place, timeout), hookTimeout: timeout, fileParallelism: false };
}

const define = versionDefine();

export default defineConfig({
  test: {
    projects: [
      { define, test: project("unit", 0, 10 * SECOND) },
      { define, test: project("model", 0, MODEL_TIMEOUT) },
      { define, test: heavyProject("integration", 2, 120 * SECOND) },
      { define, test: heavyProject("e2e", 3, 180 * SECOND) },
      ...(OBSERVABILITY ? [{ define, test: heavyProject("observability", 4, 180 * SECOND) }] : []),
      ...(FAULTS ? [{ define, test: heavyProject("faults", 6, 180 * SECOND) }] : []),
      ...(UI ? [{ define, test: heavyProject("ui", 5, 180 * SECOND) }] : []),
    ],
  },
});
