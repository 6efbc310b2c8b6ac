/** `blazar serve`: what becomes of a daemon that cannot start. */
import { describe, expect, it, vi } from "vitest";
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
      drain: async () => void calls.push("drain"),
    };
    await expect(serve({}, async () => daemon)).rejects.toThrow("it is nowhere");
    expect(calls).toEqual(["drain"]);
  });

  it("says so even if it cannot be closed in order", async () => {
    const logger = new CapturedLogger();
    const drain = () => Promise.reject(new Error("the keeper does not answer"));
    await expect(serve({}, async () => ({ logger, start, drain }))).rejects.toThrow("it is nowhere");
    expect(logger.lines.at(-1)).toMatchObject({ level: "warn" });
  });
});
