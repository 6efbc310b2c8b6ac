/** A daemon that was stopped does not conclude that others were late; a clock that is set changes no duration. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { build } from "esbuild";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Activity } from "../../../src/actors/supply/activity.ts";
import { Pace } from "../../../src/actors/supply/pace.ts";
import { clearDeadline, monotonicNow, setDeadline } from "../../../src/lib/deadline-timer.ts";

describe("a deadline", () => {
  it("waits once more if this process was stopped meanwhile, and then passes", async () => {
    // the answer is there before the deadline, but nobody can read it: the process is stopped
    const source = `
      import { setDeadline, clearDeadline } from "./deadline-timer.ts";
      setDeadline(() => console.log("late"), 300);
      const answered = setDeadline(() => console.log("wrong"), 300);
      process.stdin.on("data", () => { clearDeadline(answered); console.log("answered"); });
      console.log("waits");
      setTimeout(() => process.exit(0), 3500);
    `;
    const stdin = { contents: source, resolveDir: join(import.meta.dirname, "../../../src/lib") };
    const built = await build({ stdin, bundle: true, format: "esm", platform: "node", write: false });
    const code = built.outputFiles[0]?.text ?? "";
    const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    let said = "";
    child.stdout.on("data", (bytes: Buffer) => {
      said += bytes.toString();
    });
    await vi.waitFor(() => expect(said).toContain("waits"), { timeout: 5_000 });
    child.kill("SIGSTOP");
    child.stdin.write("answer\n");
    await new Promise((resolve) => setTimeout(resolve, 1_800));
    child.kill("SIGCONT");
    await once(child, "exit");
    expect(said).toContain("answered");
    expect(said).toContain("late");
    expect(said).not.toContain("wrong");
  });

  it("passes in time otherwise, unless it is cleared", async () => {
    const passed: string[] = [];
    const kept = setDeadline(() => passed.push("kept"), 20);
    const cleared = setDeadline(() => passed.push("cleared"), 10);
    clearDeadline(cleared);
    await vi.waitFor(() => expect(passed).toEqual(["kept"]));
    clearDeadline(kept);
  });
});

describe("a clock that jumps", () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ["Date"] }));
  afterEach(() => vi.useRealTimers());

  it("a day back or forth changes no pause and no idle time", async () => {
    for (const jump of [-86_400_000, 86_400_000]) {
      const activity = new Activity(monotonicNow);
      await activity.during(async () => undefined);
      vi.setSystemTime(Date.now() + jump);
      expect(activity.idleMs).toBeGreaterThanOrEqual(0);
      expect(activity.idleMs).toBeLessThan(1_000);
    }
    const pace = new Pace(1, monotonicNow);
    await pace.activity.during(async () => undefined);
    const quiet = pace.pause(new AbortController().signal);
    vi.setSystemTime(Date.now() - 86_400_000);
    await expect(quiet).resolves.toBeUndefined();
  });
});
