/** The keeper's binary as holder of containerd's FIFOs and Task connections, which outlive daemons. */
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RealKeeper } from "../../support/bench/keeper.ts";
import { StdioRecorder, ttrpc, ttrpcText } from "../../support/conformance/keeper-bench.ts";

const MEGABYTE = 1024 * 1024;

describe("the keeper", () => {
  let bench: RealKeeper;
  beforeEach(async () => {
    bench = await RealKeeper.start();
  });
  afterEach(async () => {
    await bench.dispose();
  });

  describe("as holder of FIFOs", () => {
    it("refuses a path that is no FIFO, by name", async () => {
      const file = path.join(bench.directory, "file");
      await writeFile(file, "");
      for (const stdout of [file, "/dev/null", path.join(bench.directory, "nothing")]) {
        const opened = bench.keeper.openStdio("c", { stdin: "", stdout, stderr: "" }, new StdioRecorder());
        await expect(opened).rejects.toMatchObject({
          code: "InvalidArgument",
          message: expect.stringContaining(stdout),
        });
      }
      expect(bench.keeper.inventory().stdio).toEqual([]);
    });

    it("holds back a stream whose reader is slow, and no other", async () => {
      const slowPaths = await bench.fifos("slow", ["stdout"]);
      const slow = new StdioRecorder();
      const slowStdio = await bench.keeper.openStdio("slow", slowPaths, slow);
      await slow.acked("stdout", 0);
      // Nobody reads: the FIFO takes its 64 KiB, then the credit stays where it is.
      let sent = 0;
      const block = Buffer.alloc(16 * 1024, "s");
      const push = (): void => {
        const { offset, window } = slow.acks.stdout;
        while (sent + block.length <= offset + window) {
          slowStdio.data("stdout", sent, block);
          sent += block.length;
        }
      };
      await vi.waitFor(() => {
        push();
        expect(slow.acks.stdout.offset).toBe(64 * 1024);
      });
      push();
      const quickPaths = await bench.fifos("quick", ["stdout"]);
      const quick = new StdioRecorder();
      const quickStdio = await bench.keeper.openStdio("quick", quickPaths, quick);
      await quick.acked("stdout", 0);
      quickStdio.data("stdout", 0, Buffer.from("quick"));
      quickStdio.end("stdout", 5);
      expect(await bench.readToEnd(quickPaths.stdout)).toBe("quick");
      expect(slow.acks.stdout.offset).toBe(64 * 1024);
      slowStdio.end("stdout", sent);
      const text = await bench.readToEnd(slowPaths.stdout);
      expect(text.length).toBe(sent);
      await slow.acked("stdout", sent + 1);
    });

    it("loses and doubles nothing over any number of daemons", async () => {
      const paths = await bench.fifos("c", ["stdout"]);
      const read = bench.readToEnd(paths.stdout);
      const source = Buffer.from(Array.from({ length: 60_000 }, (_, line) => `line ${line}\n`).join(""));
      for (let life = 0; life < 5; life++) {
        const recorder = new StdioRecorder();
        const stdio = await bench.keeper.openStdio("c", paths, recorder);
        await vi.waitFor(() => expect(recorder.acks.stdout.offset).toBeGreaterThanOrEqual(0));
        const start = recorder.acks.stdout.offset;
        let sent = start;
        const goal = life === 4 ? source.length : Math.min(source.length, start + 150_000);
        await vi.waitFor(
          () => {
            const { offset, window } = recorder.acks.stdout;
            const stop = Math.min(goal, offset + window, sent + 32 * 1024);
            stdio.data("stdout", sent, source.subarray(sent, stop));
            sent = stop;
            expect(sent).toBe(goal);
          },
          { interval: 1, timeout: 20_000 },
        );
        if (life === 4) stdio.end("stdout", source.length);
        // Written, mostly not acknowledged: the daemon dies here.
        else await bench.restartDaemon();
      }
      const text = await read;
      expect(text === source.toString()).toBe(true);
    });

    it("drops what breaks one stream's rules and keeps the link", async () => {
      const paths = await bench.fifos("c", ["stdin"]);
      await bench.keeper.openStdio("c", paths, new StdioRecorder());
      const next = await bench.restartDaemon();
      const adopted = await next.openStdio("c", paths, new StdioRecorder());
      // A new daemon cannot know what was sent: the keeper finds out.
      adopted.acknowledgeInput(1_000_000, 1024);
      await next.openStdio("d", await bench.fifos("d", ["stdout"]), new StdioRecorder());
      expect(next.connected).toBe(true);
      expect(await bench.log()).toContain("a stream broke the protocol");
    });
  });

  describe("as holder of Task connections", () => {
    it("closes only the connection that sends too much or nonsense", async () => {
      bench.keeper.onTaskMessage(async (message) => ttrpc(`re: ${ttrpcText(message)}`, 2));
      const good = await bench.connectTask();
      const oversized = await bench.connectTask();
      const header = Buffer.from(ttrpc(""));
      header.writeUInt32BE(4 * MEGABYTE + 1, 0);
      oversized.socket.write(header);
      await oversized.closed;
      const garbage = await bench.connectTask();
      garbage.socket.write("GET / HTTP/1.1\r\n\r\n");
      await garbage.closed;
      expect(ttrpcText(await good.call(ttrpc("still here")))).toBe("re: still here");
    });

    it("relays messages as large as containerd may send", async () => {
      bench.keeper.onTaskMessage(async (message) => message);
      const caller = await bench.connectTask();
      const large = ttrpc("x".repeat(4 * MEGABYTE));
      const answer = await caller.call(large);
      expect(Buffer.compare(answer, large)).toBe(0);
    });

    it("stops reading when nobody answers, and loses nothing by it", async () => {
      await bench.killDaemon();
      const caller = await bench.connectTask();
      const bodies = Array.from({ length: 24 }, (_, index) => String(index).padStart(MEGABYTE / 2, "."));
      const answers = bodies.map((body) => caller.call(ttrpc(body)));
      const rss = async (): Promise<number> => {
        const status = await readFile(`/proc/${bench.pid}/status`, "utf8");
        return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
      };
      await vi.waitFor(async () => expect(await rss()).toBeGreaterThan(4));
      expect(await rss()).toBeLessThan(16);
      const next = await bench.restartDaemon();
      next.onTaskMessage(async (message) => ttrpc(ttrpcText(message).replaceAll(".", ""), 2));
      const texts = (await Promise.all(answers)).map(ttrpcText);
      expect(texts).toEqual(bodies.map((_, index) => String(index)));
    });
  });
});
