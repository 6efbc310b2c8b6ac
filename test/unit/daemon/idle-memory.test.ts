import { expect, test } from "vitest";
import { IdleMemory, isSparse } from "../../../src/daemon/tuning/idle-memory.ts";
import type { IdlePool } from "../../../src/host/storage/worker-pool.ts";
import type { RootfsTasks } from "../../../src/workers/rootfs.worker.ts";

/** Workers that write down whether text was dropped; `starts` = threads that the next task starts. */
function workersWith(starts: { next: number }) {
  const text: boolean[] = [];
  let started = 0;
  const run = (_name: string, input: { readonly text: boolean }) => {
    started += starts.next;
    starts.next = 0;
    text.push(input.text);
    return Promise.resolve(undefined);
  };
  const pool = {
    get started() {
      return started;
    },
    run,
  } as unknown as IdlePool<RootfsTasks>;
  return { pool, text };
}

test("an idle daemon gives memory back, its text only if a thread was started since", async () => {
  const starts = { next: 1 };
  const { pool, text } = workersWith(starts);
  await pool.run("giveBack", { text: false });
  const memory = new IdleMemory({ debug: () => undefined });
  await memory.giveBack(pool);
  await memory.giveBack(pool);
  expect(text.slice(1)).toEqual([true, false]);
});

test("the thread that drops the text is not a reason to drop it again", async () => {
  const { pool, text } = workersWith({ next: 1 });
  const memory = new IdleMemory({ debug: () => undefined });
  await memory.giveBack(pool, { threadEnded: true });
  await memory.giveBack(pool);
  expect(text).toEqual([true, false]);
});

test("a heap is compacted where a sixth of it lies free between what is used, but not a large one", () => {
  const mib = 2 ** 20;
  expect(isSparse({ heapTotal: 18 * mib, heapUsed: 16 * mib })).toBe(false);
  expect(isSparse({ heapTotal: 18 * mib, heapUsed: 14 * mib })).toBe(true);
  expect(isSparse({ heapTotal: 100 * mib, heapUsed: 60 * mib })).toBe(false);
});
