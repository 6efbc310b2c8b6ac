/** Streams and the link that carries them, under floods, breaks and malformed frames. */
import { beforeAll, describe, expect, it } from "vitest";
import { encodeFrame, FrameType } from "../../../src/protocol/wire/frame.ts";
import { type AgentBench, NO_STDIO, processOf, specOf } from "../../support/bench/agent.ts";

export function describeStreams(bench: AgentBench): void {
  describe("the guest agent's streams", () => {
    beforeAll(() => {
      bench.prepares = true;
    });

    it("carry bulk without loss", async () => {
      const { stdout } = await bench.run("seq 1 300000");
      expect(stdout.length).toBe(Array.from({ length: 300_000 }, (_, i) => `${i + 1}\n`).join("").length);
      expect(stdout.endsWith("\n299999\n300000\n")).toBe(true);
    });

    it("let a flood that nobody reads slow nobody else, and end with their process", async () => {
      const id = bench.newId();
      const stdio = { ...NO_STDIO, stdout: bench.guest.deafOutput() };
      await bench.guest.request("container.create", specOf(id, processOf(["yes"]), { stdio }));
      await bench.guest.request("process.start", { id, execId: "" });
      expect(await bench.run("echo free")).toMatchObject({ status: 0, stdout: "free\n" });
      expect(bench.guest.hasExited(id)).toBe(false);
      await bench.guest.request("process.signal", { id, execId: "", signal: 9, all: false });
      // although its output was never read
      expect((await bench.guest.exit(id)).status).toBe(137);
      await bench.remove(id);
    });

    it("lose and double nothing across reconnects", async () => {
      const { id, output } = await bench.stay(["sh", "-c", "seq 1 200000"]);
      for (const bytes of [1000, 200_000, 600_000]) {
        await output.until(() => output.bytes() >= bytes);
        bench.guest.disconnect();
        await bench.guest.connect();
      }
      expect((await bench.guest.exit(id)).status).toBe(0);
      await output.ended;
      expect(output.text() === Array.from({ length: 200_000 }, (_, i) => `${i + 1}\n`).join("")).toBe(true);
      await bench.remove(id);
    });

    it("keep an exit that happens while no host is attached", async () => {
      const { id, output } = await bench.stay(["sh", "-c", "sleep 0.3; echo late; exit 9"]);
      bench.guest.disconnect();
      await new Promise((resolve) => setTimeout(resolve, 800));
      await bench.guest.connect();
      expect((await bench.guest.exit(id)).status).toBe(9);
      await output.ended;
      expect(output.text()).toBe("late\n");
      await bench.remove(id);
    });

    it.each([
      ["a frame of an unknown type", encodeFrame(99 as FrameType, 0, 0)],
      ["an oversized frame", Buffer.from([0x7f, 0xff, 0xff, 0xff, 1, 2, 3])],
      ["a request that is no JSON", encodeFrame(FrameType.Request, 0, 1_000_000, Buffer.from("{"))],
    ])("survive %s", async (_, bytes) => {
      const { id, output } = await bench.stay(["sh", "-c", "echo before; sleep 1; echo after; exit 4"]);
      await output.until((text) => text === "before\n");
      const before = bench.guest.violations.length;
      bench.guest.sendRaw(bytes);
      // the agent opens its port anew and says hello again, which is a reason to reconnect
      await expect.poll(() => bench.guest.violations.length, { timeout: 10_000 }).toBe(before + 1);
      expect((await bench.guest.exit(id)).status).toBe(4);
      await output.ended;
      expect(output.text()).toBe("before\nafter\n");
      await bench.remove(id);
    });

    it("survive a frame that never ends", async () => {
      bench.guest.sendRaw(encodeFrame(FrameType.Request, 0, 1_000_000, Buffer.alloc(1000)).subarray(0, 500));
      bench.guest.disconnect();
      await bench.guest.connect();
      expect(await bench.run("echo fine")).toMatchObject({ stdout: "fine\n" });
    });
  });
}
