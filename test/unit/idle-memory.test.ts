import { expect, test } from "vitest";
import { IdleMemory } from "../../src/host/idle-memory.ts";
import type { TaskRunner } from "../../src/host/storage/worker-pool.ts";
import type { RootfsTasks } from "../../src/workers/rootfs.worker.ts";

test("an idle daemon gives memory back, its text only if a thread was started since", async () => {
  const asked: unknown[] = [];
  const workers = {
    run: (name: string, input: unknown) => {
      asked.push([name, input]);
      return Promise.resolve(undefined);
    },
  } as TaskRunner<RootfsTasks>;
  const memory = new IdleMemory({ debug: () => undefined });
  await memory.giveBack(workers, true);
  await memory.giveBack(workers, false);
  expect(asked).toEqual([
    ["giveBack", { text: true }],
    ["giveBack", { text: false }],
  ]);
});
