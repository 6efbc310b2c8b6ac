/** `blazar serve`: what becomes of a daemon that cannot start. */
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { blazarError } from "../../../src/contracts/errors.ts";
import { type Daemon, serve } from "../../../src/daemon/serve.ts";
import { CapturedLogger } from "../../support/captured-logger.ts";

// it would change the weight of the session that runs the tests
vi.mock("../../../src/daemon/tuning/scheduling.ts", () => ({ raiseSchedulingWeight: async () => undefined }));

describe("a daemon whose start fails", () => {
  const start = () => Promise.reject(blazarError("VmmNotInstalled", "find QEMU", "it is nowhere"));

  it("closes what it has opened, and says why it failed", async () => {
    const calls: string[] = [];
    const daemon: Daemon = {
      logger: new CapturedLogger(),
      start,
      leave: async () => void calls.push("leave"),
    };
    await expect(serve({}, async () => daemon)).rejects.toThrow("it is nowhere");
    expect(calls).toEqual(["leave"]);
  });

  it("says so even if it cannot be closed in order", async () => {
    const logger = new CapturedLogger();
    const leave = () => Promise.reject(new Error("the keeper does not answer"));
    await expect(serve({}, async () => ({ logger, start, leave }))).rejects.toThrow("it is nowhere");
    expect(logger.lines.at(-1)).toMatchObject({ level: "warn" });
  });
});

describe("a daemon that is told to end", () => {
  it("leaves, and ends with 0", async () => {
    const calls: string[] = [];
    const served = serve({}, async () => ({
      logger: new CapturedLogger(),
      start: async () => void setImmediate(() => process.emit("SIGTERM")),
      leave: async () => void calls.push("leave"),
    }));
    expect(await served).toBe(0);
    expect(calls).toEqual(["leave"]);
  });

  const never = () => new Promise<never>(() => undefined);

  it("ends with 0 also while it starts, and closes what it has opened", async () => {
    const calls: string[] = [];
    const served = serve({}, async () => ({
      logger: new CapturedLogger(),
      start: () => {
        setImmediate(() => process.emit("SIGTERM"));
        return never();
      },
      leave: async () => void calls.push("leave"),
    }));
    expect(await served).toBe(0);
    expect(calls).toEqual(["leave"]);
  });

  it("ends with 0 also while it waits for its keeper", async () => {
    const served = serve({}, () => {
      setImmediate(() => process.emit("SIGTERM"));
      return never();
    });
    expect(await served).toBe(0);
  });

  it("ends at once when it is told twice", async () => {
    const exit = vi.spyOn(process, "exit").mockImplementation((() => undefined) as never);
    onTestFinished(() => exit.mockRestore());
    await serve({}, async () => ({
      logger: new CapturedLogger(),
      start: async () => void setImmediate(() => process.emit("SIGTERM")),
      leave: async () => void process.emit("SIGINT"),
    }));
    expect(exit).toHaveBeenCalledWith(130);
  });
});
