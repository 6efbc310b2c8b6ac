import { describe, expect, it } from "vitest";
import { blazarError } from "../../../src/contracts/errors.ts";
import { ErrorLog } from "../../../src/standalone/logs/error-log.ts";

const FAILURE = blazarError("GuestLost", "talk to the guest", "its link was closed");

describe("the log of a run that is not verbose", () => {
  it("tells errors as sentences, and nothing else", () => {
    const log = new ErrorLog();
    log.info();
    log.child().error({ err: new Error("no such file") }, "could not end the keeper");
    expect(log.report()).toBe("blazar: could not end the keeper: no such file\n");
  });

  it("does not repeat what the run fails with, but adds the guest's last words", () => {
    const log = new ErrorLog();
    log.error({ diagnostics: "Kernel panic" }, `sandbox failed: ${FAILURE.message}`);
    expect(log.report(FAILURE)).toBe("Kernel panic\n");
    expect(log.report()).toBe(`blazar: sandbox failed: ${FAILURE.message}\nKernel panic\n`);
  });
});
