/** The keeper's memory is bounded, and its link holds, whatever waits: nobody reads, or the daemon is away for long. */
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { StdioBinding } from "../../../src/contracts/keeper.ts";
import { RealKeeper } from "../../support/bench/keeper.ts";
import { StdioRecorder, ttrpc, ttrpcText } from "../../support/conformance/keeper-bench.ts";

const MEGABYTE = 1024 * 1024;

/** How many of the bytes have fitted. */
function writeAsMuchAsFits(fd: number, bytes: Uint8Array): number {
  let done = 0;
  try {
    while (done < bytes.length) done += writeSync(fd, bytes, done);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
  }
  return done;
}

describe("the keeper, when much waits in it", () => {
  let bench: RealKeeper;
  beforeEach(async () => {
    bench = await RealKeeper.start();
  });
  afterEach(async () => {
    await bench.dispose();
  });

  async function residentMegabytes(): Promise<number> {
    const status = await readFile(`/proc/${bench.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  }

  it("holds little for streams that nobody reads, though their bytes come in small pieces, and serves another", async () => {
    const streams = Array.from({ length: 100 }, (_, index) => `hostile${index}`);
    const before = await residentMegabytes();
    for (const id of streams) {
      const recorder = new StdioRecorder();
      const stdio = await bench.keeper.openStdio(id, await bench.fifos(id, ["stdout"]), recorder);
      await recorder.acked("stdout", 0);
      // The FIFO takes 64 KiB; after that each piece waits in the keeper.
      const piece = Buffer.alloc(7, "x");
      let sent = 0;
      const push = (): void => {
        const { offset, window } = recorder.acks.stdout;
        for (; sent + piece.length <= offset + window; sent += piece.length)
          stdio.data("stdout", sent, piece);
      };
      await vi.waitFor(
        () => {
          push();
          expect(sent).toBeGreaterThan(64 * 1024);
        },
        { interval: 5, timeout: 10_000 },
      );
      push();
    }
    expect((await residentMegabytes()) - before).toBeLessThan(16);
    const paths = await bench.fifos("innocent", ["stdout"]);
    const innocent = new StdioRecorder();
    const stdio = await bench.keeper.openStdio("innocent", paths, innocent);
    await innocent.acked("stdout", 0);
    stdio.data("stdout", 0, Buffer.from("every byte"));
    stdio.end("stdout", 10);
    expect(await bench.readToEnd(paths.stdout)).toBe("every byte");
    expect(bench.keeper).toMatchObject({ linkLosses: 0, deaths: 0 });
  });

  it("holds a bounded part of inputs that no process reads, and hands on another's", async () => {
    const before = await residentMegabytes();
    const writers: number[] = [];
    const all: StdioBinding[] = [];
    for (let number = 0; number < 400; number++) {
      const paths = await bench.fifos(`hostile${number}`, ["stdin"]);
      all.push(await bench.keeper.openStdio(`hostile${number}`, paths, new StdioRecorder()));
      writers.push(openSync(paths.stdin, constants.O_WRONLY | constants.O_NONBLOCK));
    }
    const piece = Buffer.alloc(64 * 1024, "x");
    // each of them gets as far as it can
    for (let round = 0; round < 6; round++) {
      for (const writer of writers) while (writeAsMuchAsFits(writer, piece) === piece.length);
      await bench.keeper.openStdio(
        `round${round}`,
        await bench.fifos(`round${round}`, ["stdout"]),
        new StdioRecorder(),
      );
    }
    expect((await residentMegabytes()) - before).toBeLessThan(40);
    // the end of an input gives nothing free that is still kept
    for (const stdio of all) await stdio.closeInput();
    for (let number = 0; number < 200; number++) {
      const paths = await bench.fifos(`more${number}`, ["stdin"]);
      await bench.keeper.openStdio(`more${number}`, paths, new StdioRecorder());
      const writer = openSync(paths.stdin, constants.O_WRONLY | constants.O_NONBLOCK);
      while (writeAsMuchAsFits(writer, piece) === piece.length);
      writers.push(writer);
    }
    expect((await residentMegabytes()) - before).toBeLessThan(50);
    const paths = await bench.fifos("innocent", ["stdin"]);
    const innocent = new StdioRecorder();
    const stdio = await bench.keeper.openStdio("innocent", paths, innocent);
    stdio.acknowledgeInput(0, 128 * 1024);
    const text = "every byte ".repeat(10_000);
    const writer = openSync(paths.stdin, constants.O_WRONLY | constants.O_NONBLOCK);
    let rest: Uint8Array = Buffer.from(text);
    await vi.waitFor(
      () => {
        rest = rest.subarray(writeAsMuchAsFits(writer, rest));
        // as a guest does that has consumed all of it
        stdio.acknowledgeInput(innocent.text.length, 128 * 1024);
        expect(innocent.text.length).toBe(text.length);
      },
      { interval: 5, timeout: 20_000 },
    );
    expect(innocent.text).toBe(text);
    for (const each of [writer, ...writers]) closeSync(each);
    expect(bench.keeper).toMatchObject({ linkLosses: 0, deaths: 0 });
  }, 60_000);

  it("holds a bounded part of what many connections ask while no daemon is there, and hands a daemon all of it over one link", async () => {
    await bench.killDaemon();
    const callers = await Promise.all(Array.from({ length: 9 }, () => bench.connectTask()));
    const bodies = callers.flatMap((caller, pod) =>
      Array.from({ length: 6 }, (_, exec) => ({
        caller,
        body: `${pod}/${exec}`.padStart(0.9 * MEGABYTE, "."),
      })),
    );
    const answers = bodies.map(({ caller, body }) => caller.call(ttrpc(body)));
    await vi.waitFor(async () => expect(await residentMegabytes()).toBeGreaterThan(20), { timeout: 10_000 });
    expect(await residentMegabytes()).toBeLessThan(64);
    const small = await bench.connectTask();
    const asked = small.call(ttrpc("small"));
    const next = await bench.restartDaemon();
    const order: string[] = [];
    next.onTaskMessage(async (message) => {
      const text = ttrpcText(message).replaceAll(".", "");
      order.push(text);
      return ttrpc(text, 2);
    });
    expect(ttrpcText(await asked)).toBe("small");
    const texts = (await Promise.all(answers)).map(ttrpcText);
    expect(texts).toEqual(bodies.map(({ body }) => body.replaceAll(".", "")));
    expect(new Set(order).size).toBe(bodies.length + 1);
    expect(next).toMatchObject({ linkLosses: 0, deaths: 0 });
  });
});
