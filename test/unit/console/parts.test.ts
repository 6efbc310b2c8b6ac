import { fc, test } from "@fast-check/vitest";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { Asked } from "../../../src/console/asked.ts";
import { followLog } from "../../../src/console/follow-log.ts";
import { keysIn } from "../../../src/console/live-terminal.ts";
import { LogText } from "../../../src/console/log-text.ts";
import { named } from "../../../src/console/named.ts";
import { ps, watchPs } from "../../../src/console/ps.ts";
import { isColourful, plainScreen, screenOf, terminalSize } from "../../../src/console/screen.ts";
import { structured } from "../../../src/console/structured.ts";
import { fitted, wrapped } from "../../../src/console/tables/table.ts";
import { bursts } from "../../../src/console/tables/waterfall.ts";
import { livePage } from "../../../src/console/top/live.ts";
import { Readings } from "../../../src/console/top/readings.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { EventObserver } from "../../../src/contracts/event-source.ts";
import { harmless } from "../../../src/lib/harmless.ts";
import { FakeInspection } from "../../support/fake-inspection/inspection.ts";

const HARMFUL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Surrogate}]/u;

describe("a harmless text", () => {
  it("shows what a terminal would obey", () => {
    expect(harmless("a\u001b[2J\u009b1A\u0007\nb\u202ec\t\u2028\ud800")).toBe(
      "a\\x1b[2J\\x9b1A\\x07\\nb\\u202ec\\t\\u2028\\ud800",
    );
    expect(harmless("schön 寿司 🍣")).toBe("schön 寿司 🍣");
  });

  it("keeps lines where they are wanted, but no carriage return that would forge one", () => {
    expect(harmless("a\r\nb\rc\td", { lines: true })).toBe("a\nb\\rc\td");
  });

  it("is cut, and says by how much", () => {
    expect(harmless("x".repeat(2 ** 20))).toBe(`${"x".repeat(1024)}… (1047552 more characters)`);
  });

  test.prop([fc.string({ unit: "binary", maxLength: 300 })])("has nothing harmful in it", (text) => {
    expect(harmless(text)).not.toMatch(HARMFUL);
    expect(JSON.parse(structured({ text }, "json"))).toEqual({ text });
  });

  test.prop([fc.uint8Array({ maxLength: 200 }), fc.nat(200)])("a log may break anywhere", (bytes, at) => {
    const whole = new LogText();
    const parts = new LogText();
    const expected = whole.next(bytes) + whole.end();
    expect(parts.next(bytes.subarray(0, at)) + parts.next(bytes.subarray(at)) + parts.end()).toBe(expected);
    expect(expected.replaceAll(/[\n\t]/g, "")).not.toMatch(HARMFUL);
  });
});

describe("a name on the command line", () => {
  const fake = new FakeInspection();
  const plan = { namespace: "shop", path: "pool", containers: 1 } as const;
  const web = fake.startPod({ ...plan, name: "web" });
  const other = fake.startPod({ ...plan, name: "web", namespace: "other" });
  const again = fake.startPod({ ...plan, name: "again" });
  fake.advance(1_000);
  fake.stopPod(again);
  fake.advance(2_000);
  const newer = fake.startPod({ ...plan, name: "again" });

  it("is an id, or the beginning of one", () => {
    expect(named(fake.list(), web).id).toBe(web);
    expect(named(fake.list(), other.slice(0, 8)).id).toBe(other);
  });

  it("is a pod's name, alone or with its namespace", () => {
    expect(named(fake.list(), "shop/web").id).toBe(web);
    expect(() => named(fake.list(), "web")).toThrow(/may mean 2 sandboxes.*\n.*shop\/web.*\n.*other\/web/);
  });

  it("means the sandbox that runs, if a pod of this name was there before", () => {
    expect(named(fake.list(), "again").id).toBe(newer);
  });

  it("is refused if nothing is called so", () => {
    expect(() => named(fake.list(), "nobody\u001b[2J")).toThrow(/nobody\\x1b\[2J\): no id begins so/);
    expect(() => named(fake.list(), "")).toThrow(/no id begins so/);
  });
});

describe("watching", () => {
  it("writes a row for each change, and none for what is not shown", async () => {
    const fake = new FakeInspection();
    const rows: string[] = [];
    const ended = new AbortController();
    const daemon = { list: () => Promise.resolve(fake.list()), watch: fake.watch.bind(fake) };
    const view = { format: "table", all: false, namespace: "shop" } as const;
    const screen = () => plainScreen(100, fake.now());
    const watching = watchPs(daemon, view, screen, (text) => rows.push(text), {
      signal: ended.signal,
      onGone: () => undefined,
    });
    await Promise.resolve();
    await Promise.resolve();
    const id = fake.startPod({ name: "web", namespace: "shop", path: "pool", containers: 1 });
    fake.startPod({ name: "hidden", namespace: "other", path: "pool", containers: 1 });
    fake.advance(1_000);
    fake.stopPod(id);
    fake.advance(1_000);
    ended.abort();
    await watching;
    expect(rows.join("")).not.toContain("hidden");
    const states = rows.slice(1).map((row) => row.split(/ {2,}/)[2]);
    expect(states).toContain("booting.adopting");
    expect(states.at(-1)).toBe("removed");
    expect(new Set(rows).size).toBe(rows.length);
  });

  it("reads a log on when the daemon is back, and says once that it is away", async () => {
    const asked: number[] = [];
    const gone: string[] = [];
    let text = "";
    const away = blazarError("RemoteUnavailable", "ask the daemon", "it does not answer");
    const answers = [
      (observer: EventObserver<Uint8Array>) => {
        observer.next(Buffer.from("before "));
        observer.error(away);
      },
      (observer: EventObserver<Uint8Array>) => observer.error(away),
      (observer: EventObserver<Uint8Array>) => {
        observer.next(Buffer.from("after"));
        observer.complete();
      },
    ];
    const daemon: Pick<Asked, "logs"> = {
      logs: (_id, _log, { tailBytes }) => ({
        subscribe: (observer) => {
          asked.push(tailBytes);
          answers.shift()?.(observer);
          return { unsubscribe: () => undefined };
        },
      }),
    };
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const view = { id: "a", log: "vmm", tailBytes: 9, follow: true } as const;
    const { signal } = new AbortController();
    const listens = vi.spyOn(signal, "addEventListener");
    const leaves = vi.spyOn(signal, "removeEventListener");
    const watching = {
      signal,
      onGone: (error: Error) => void gone.push(error.message),
    };
    const followed = followLog(daemon, view, (bytes) => (text += Buffer.from(bytes)), watching);
    await vi.advanceTimersByTimeAsync(5_000);
    await followed;
    // what was there before is not shown twice
    expect(asked).toEqual([9, 0, 0]);
    expect(text).toBe("before after");
    // an outage of hours keeps nothing for each try
    expect(leaves.mock.calls.length).toBe(listens.mock.calls.length);
    expect(gone).toHaveLength(1);
    answers.push((observer) => observer.error(away));
    await expect(followLog(daemon, { ...view, follow: false }, () => undefined, watching)).rejects.toBe(away);
  });

  it("keeps the page of top while the daemon is away, and says so on it", async () => {
    const fake = new FakeInspection();
    fake.startPod({ name: "web", namespace: "shop", path: "pool", containers: 1 });
    let away = false;
    const unless = async <T>(value: T): Promise<T> => {
      if (away) throw blazarError("RemoteUnavailable", "ask the daemon", "it does not answer");
      return value;
    };
    const readings = await Readings.begin({
      node: () => unless(fake.node()),
      list: () => unless(fake.list()),
      usage: async (ids) => unless(await fake.usage(ids)),
    });
    const shown = () => livePage(readings, plainScreen(100, fake.now()), "cpu");
    expect(shown()).toContain("q quit");
    away = true;
    await readings.next();
    expect(shown()).toMatch(/shop\/web[\s\S]*it does not answer; waiting for it$/);
    away = false;
    await readings.next();
    expect(shown()).toMatch(/shop\/web[\s\S]*q quit$/);
  });

  it("says so if there is nothing", async () => {
    const view = { format: "table", all: false, namespace: undefined } as const;
    expect(
      await ps(
        { list: () => Promise.resolve([]), node: async () => new FakeInspection().node() },
        view,
        plainScreen(80, 0),
      ),
    ).toBe("no sandboxes\n");
  });

  it("ends with what is wrong with the daemon's own parts, but for programs", async () => {
    const fake = new FakeInspection();
    fake.troubles = ["the keeper (pid 7) does not answer\u001b[31m"];
    const daemon = { list: async () => [], node: async () => fake.node() };
    const view = { format: "table", all: false, namespace: undefined } as const;
    const text = await ps(daemon, view, plainScreen(200, 0));
    expect(text).toMatch(/^no sandboxes\nthe keeper \(pid 7\) does not answer/);
    expect(text).not.toContain("\u001b");
    expect(await ps(daemon, { ...view, format: "json" }, plainScreen(80, 0))).not.toContain("keeper");
  });
});

describe("texts on a terminal", () => {
  it("are cut by cells, with colours whole", () => {
    expect(fitted("寿司寿司", 5)).toBe("寿司…");
    expect(fitted("\u001b[31mabcdef\u001b[39m", 4)).toBe("\u001b[31mabc…\u001b[39m");
    expect(wrapped("one two three", 7)).toBe("one two\nthree\n");
  });

  it("have colours only where somebody sees them and wants them", () => {
    expect(isColourful(true, { TERM: "xterm" })).toBe(true);
    expect(isColourful(true, { TERM: "xterm", NO_COLOR: "1" })).toBe(false);
    expect(isColourful(false, {})).toBe(false);
    expect(isColourful(false, { FORCE_COLOR: "1" })).toBe(true);
  });

  it("are as wide as the terminal, or as usual where it has no size", () => {
    const of = (isTTY: boolean, columns: number) =>
      screenOf({ stdout: { isTTY, columns, rows: 0 } as NodeJS.WriteStream, env: {} } as never, 0).columns;
    expect(of(true, 132)).toBe(132);
    expect(of(true, 0)).toBe(80);
    expect(of(false, 0)).toBe(Number.POSITIVE_INFINITY);
    expect(terminalSize({ rows: 0, columns: 100 })).toEqual({ rows: 24, columns: 100 });
  });

  it("take keys by name", () => {
    expect(keysIn("q\u001b[A\u0003\u001b[6~c")).toEqual(["q", "up", "ctrl-c", "page-down", "c"]);
  });

  it("break a history where nothing happened for a while", () => {
    const entry = (id: number, at: number, ms: number) =>
      ({ id, kind: "effect", at, ms, name: "x" }) as const;
    const found = bursts([entry(1, 0, 2_000), entry(2, 1_900, 10), entry(3, 9_000, 1)], 10_000);
    expect(found.map(({ from, to }) => [from, to])).toEqual([
      [0, 2_000],
      [9_000, 9_001],
    ]);
  });
});
