/**
 * Four kinds of tests (test/README.md). `unit` and `model` need only the npm packages and run as many at a time as there are cores.
 *
 * `integration` boots real VMs and `e2e` real containerds. An emulated guest keeps one core busy, so two files of `integration` run
 * side by side. Their deadlines fit software emulation. `alone` has those of them that measure time or kill at random: they run
 * last and one by one. `observability` needs programs that nothing else does, so it is only
 * there for `npm run test:metrics`; so is `ui`, which needs a browser, for `npm run test:ui`, `faults`, which stops and
 * starves real daemons, for `npm run test:faults`, and `upgrade`, which needs an earlier build, for `npm run test:upgrade`, and `package`, which
 * reads what an emulated host has left, for `npm run test:package`.
 */
import { availableParallelism } from "node:os";
import { configDefaults, defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { patient } from "./lab/host/patience.ts";
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

/** What only `npm run test:faults` has. */
const FAULTS = process.env["BLAZAR_FAULTS"] !== undefined;

/** What only `npm run test:upgrade` has. */
const UPGRADE = process.env["BLAZAR_PREVIOUS"] !== undefined;

/** What only `npm run test:package` has. */
const PACKAGE = process.env["BLAZAR_PACKAGE_RESULTS"] !== undefined;

/** vitest by itself leaves one core to nobody. */
const CORES = Math.max(availableParallelism(), 2);
/** Files with VMs that run at a time. */
const SIDE_BY_SIDE = 2;

/** Files of `e2e` that hold the product to times, or the machine to a load: nothing runs beside them. */
const ALONE = ["chaos", "clones", "drain", "first-sign", "hung"].map((name) => `test/e2e/${name}.test.ts`);

/** Files that take the longest, longest first. They begin first, so that none is left over at the end. */
const LONG = [
  "model/",
  "guest-agent.test",
  "conformance.test",
  "e2e/containerd",
  "e2e/run.test",
  "e2e/sizing",
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const found = LONG.findIndex((part) => moduleId.includes(part));
      return found < 0 ? LONG.length : found;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

/** A project whose tests are in the folder of its name. @param place among the projects; equal ones run together */
function project(name: string, place: number, testTimeout: number) {
  const include = [`test/${name}/**/*.test.ts`];
  return { name, include, testTimeout, maxWorkers: CORES, sequence: { groupOrder: place } };
}

/** On real VMs. @param workers files at a time */
function heavyProject(name: string, place: number, usual: number, workers = 1) {
  const timeout = patient(usual);
  return { ...project(name, place, timeout), hookTimeout: timeout, maxWorkers: workers };
}

const define = versionDefine();

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      { define, test: project("unit", 0, 10 * SECOND) },
      { define, test: project("model", 0, MODEL_TIMEOUT) },
      { define, test: heavyProject("integration", 1, 120 * SECOND, SIDE_BY_SIDE) },
      {
        define,
        test: {
          ...heavyProject("e2e", 2, 180 * SECOND),
          exclude: [...configDefaults.exclude, ...ALONE],
        },
      },
      { define, test: { ...heavyProject("alone", 3, 180 * SECOND), include: ALONE } },
      ...(OBSERVABILITY ? [{ define, test: heavyProject("observability", 4, 180 * SECOND) }] : []),
      ...(FAULTS ? [{ define, test: heavyProject("faults", 6, 180 * SECOND) }] : []),
      ...(UPGRADE ? [{ define, test: heavyProject("upgrade", 7, 180 * SECOND) }] : []),
      ...(PACKAGE ? [{ define, test: project("package", 8, 10 * SECOND) }] : []),
      ...(UI ? [{ define, test: heavyProject("ui", 5, 180 * SECOND) }] : []),
    ],
  },
});
