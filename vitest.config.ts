/**
 * Four kinds of tests. `unit` and `model` need nothing but the npm packages and run in parallel; `integration`
 * boots real VMs, `e2e` real containerds: two cores carry one such file at a time, so these come last and
 * one by one, with deadlines that fit software emulation.
 */
import { defineConfig } from "vitest/config";

const SECOND = 1000;

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          testTimeout: 10 * SECOND,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: "model",
          include: ["test/model/**/*.test.ts"],
          testTimeout: 120 * SECOND,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts"],
          testTimeout: 120 * SECOND,
          hookTimeout: 120 * SECOND,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 180 * SECOND,
          hookTimeout: 180 * SECOND,
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
