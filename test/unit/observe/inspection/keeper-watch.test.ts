/** A keeper that does nothing is told of, by its process's state and by its silence. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KeeperWatch } from "../../../../src/observe/inspection/keeper-watch.ts";
import { CapturedLogger } from "../../../support/captured-logger.ts";

let logger: CapturedLogger;
let watch: KeeperWatch;
let state: string | undefined;
const keeper = { pid: 7, connected: true, ping: vi.fn(async () => undefined) };

beforeEach(() => {
  vi.useFakeTimers();
  logger = new CapturedLogger();
  state = undefined;
  Object.assign(keeper, { connected: true, ping: vi.fn(async () => undefined) });
  watch = new KeeperWatch({ keeper, processTrouble: async () => state, logger });
});

afterEach(() => {
  watch.close();
  vi.useRealTimers();
});

describe("the keeper's watch", () => {
  it("has nothing to say of one that answers", async () => {
    await watch.look();
    expect(watch.trouble).toBe("");
    expect(logger.lines).toEqual([]);
  });

  it("says that it is stopped, and how it goes on; once in the log, and when it is over", async () => {
    state = "is stopped by a signal (state T)";
    await vi.advanceTimersByTimeAsync(30_000);
    expect(watch.trouble).toMatch(/^the keeper \(pid 7\) is stopped by a signal.*`kill -CONT 7`/);
    state = undefined;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(watch.trouble).toBe("");
    expect(logger.lines.map(({ level }) => level)).toEqual(["error", "info"]);
  });

  it("says that it does not answer, and asks one question at a time", async () => {
    keeper.ping = vi.fn(() => new Promise<undefined>(() => undefined));
    const look = watch.look();
    await vi.advanceTimersByTimeAsync(1_000);
    await look;
    expect(watch.trouble).toContain("the keeper (pid 7) does not answer");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(keeper.ping).toHaveBeenCalledTimes(1);
  });

  it("says so at once of one whose link is down", async () => {
    keeper.connected = false;
    await watch.look();
    expect(watch.trouble).toContain("does not answer");
  });
});
