/** What the fork library does in a process that is no original. */
import { describe, expect, it } from "vitest";
import { runToEnd } from "../../../lab/host/program.ts";
import { artifacts } from "../../../setup/steps/artifacts.ts";

function shell(script: string, env: Record<string, string>) {
  return runToEnd(["/bin/sh", "-c", script], { env: { PATH: "/usr/bin:/bin", ...env } });
}

describe("a process with the library preloaded", () => {
  const preloaded = { LD_PRELOAD: artifacts().forkLibrary ?? "" };

  it("becomes any program, unless it shall be the last one", async () => {
    expect(await shell("exec /bin/true", preloaded)).toMatchObject({ code: 0 });
    const last = await shell("exec /bin/true", { ...preloaded, BLAZAR_LAST_PROGRAM: "1" });
    expect(last).toMatchObject({ code: 126, stderr: expect.stringContaining("Operation not permitted") });
  });

  it("gives what it has started no other program, either", async () => {
    const { stdout } = await shell("/bin/true; echo $?", { ...preloaded, BLAZAR_LAST_PROGRAM: "1" });
    expect(stdout).toBe("126\n");
  });
});
