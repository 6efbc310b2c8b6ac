import { describe, expect, it } from "vitest";
import { Builds } from "../../../../src/host/builds/builds.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

describe("builds behind a start", () => {
  it("pause after a failure for a minute, then longer each time, an hour at most", async () => {
    const clock = { now: 0 };
    let fails = true;
    let begun = 0;
    const builds = new Builds<string>(
      async () => {
        if (fails) throw new Error("no memory");
        return "built";
      },
      () => clock.now,
      "build a template",
    );
    /** The pause that a failure brings; undefined = nothing was begun. */
    const attempt = (): Promise<number> | undefined => {
      const before = begun;
      const failure = new Promise<number>((resolve) => {
        builds.behind("key", {
          onBegin: () => begun++,
          onFailure: (_, pauseMs) => resolve(pauseMs),
        });
      });
      return begun === before ? undefined : failure;
    };
    for (const pause of [MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE, 16 * MINUTE, 32 * MINUTE, HOUR, HOUR]) {
      expect(await attempt()).toBe(pause);
      clock.now += pause - 1;
      expect(attempt()).toBeUndefined();
      clock.now += 1;
    }
    fails = false;
    expect(await builds.join("key", undefined)).toBe("built");
    fails = true;
    expect(await attempt()).toBe(MINUTE);
  });

  it("go on when those who joined give up", async () => {
    let signal: AbortSignal | undefined;
    let finish: (value: string) => void = () => undefined;
    const builds = new Builds<string>(
      (_, given) => {
        signal = given;
        return new Promise((resolve) => {
          finish = resolve;
        });
      },
      () => 0,
      "build a template",
    );
    builds.behind("key", { onBegin: () => undefined, onFailure: () => undefined });
    const caller = new AbortController();
    const joined = builds.join("key", caller.signal);
    caller.abort();
    await expect(joined).rejects.toMatchObject({ code: "Cancelled" });
    expect(signal?.aborted).toBe(false);
    const other = builds.join("key", undefined);
    finish("built");
    expect(await other).toBe("built");
  });
});
