/** What never answers one owner holds up that owner alone, and nobody for ever. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { PatientTasks } from "../../../../src/host/volumes/patient-tasks.ts";

const NEVER = () => new Promise<never>(() => undefined);
const DEADLINE = 5_000;

describe("tasks that may never end", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("fail by their deadline, by name, and let others run before that", async () => {
    const tasks = new PatientTasks({ atOnce: 1, deadlineMs: DEADLINE });
    const stuck = tasks.run("one", "/nfs", NEVER);
    const failed = expect(stuck).rejects.toMatchObject({
      code: "DeadlineExceeded",
      message: expect.stringContaining("/nfs"),
    });
    const other = tasks.run("other", "/ok", async () => 7);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await other).toBe(7);
    await vi.advanceTimersByTimeAsync(DEADLINE);
    await failed;
  });

  it("of one owner run one after the other: one that waits is given up, and is not begun later", async () => {
    const tasks = new PatientTasks({ atOnce: 2, deadlineMs: DEADLINE });
    let end = (): void => undefined;
    const first = tasks.run(
      "one",
      "/nfs",
      () =>
        new Promise<void>((resolve) => {
          end = resolve;
        }),
    );
    const begun: string[] = [];
    const second = tasks.run("one", "/nfs", async () => void begun.push("second"));
    const failed = Promise.all(
      [first, second].map((each) => expect(each).rejects.toThrow(/has not answered/)),
    );
    await vi.advanceTimersByTimeAsync(DEADLINE);
    await failed;
    end();
    await vi.advanceTimersByTimeAsync(0);
    expect(begun).toEqual([]);
    expect(await tasks.run("one", "/nfs", async () => "again")).toBe("again");
  });

  it("of one owner are bounded in number", async () => {
    const tasks = new PatientTasks({ atOnce: 2, deadlineMs: DEADLINE });
    const all = Array.from({ length: 40 }, () =>
      tasks.run("one", "/nfs", NEVER).catch((error: Error) => error.message),
    );
    const told = await all.at(-1);
    expect(told).toContain("others of its pod wait for an answer already");
    await vi.advanceTimersByTimeAsync(DEADLINE);
    await Promise.all(all);
  });

  it("go on with their own result and error, and as many at once as may", async () => {
    const tasks = new PatientTasks({ atOnce: 2, deadlineMs: DEADLINE });
    let most = 0;
    let now = 0;
    const work = async (): Promise<void> => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 10));
      now--;
    };
    const all = Promise.all(Array.from({ length: 9 }, (_, owner) => tasks.run(`${owner}`, "", work)));
    const failed = expect(tasks.run("bad", "", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    await vi.advanceTimersByTimeAsync(200);
    await all;
    await failed;
    expect(most).toBe(2);
  });
});
