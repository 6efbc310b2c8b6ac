/** Clones of one template through the real containerd: each is a machine of its own before its first container runs. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type TestContainer, TestNode, type TestPod, until } from "../support/e2e/node.ts";

const CLONES = 50;
/** Pods that exist at the same time; the machine that tests run on has 24 GB. */
const AT_ONCE = 10;
/** How far a clock may be outside of the time in which it was asked for; the asking itself takes longer than this. */
const CLOCK_MS = 10;

let node: TestNode;

beforeAll(async () => {
  node = await TestNode.start({ config: { template: { enabled: true } } });
  // the first pod boots, and has the template built behind it
  await until("a template", async () => {
    const pod = await node.runPod({ config: { annotations: { "io.blazar.boot": "clone" } } });
    const boot = await bootOf(pod);
    await node.removePod(pod);
    return boot === "clone" ? true : undefined;
  });
});

afterEach(async () => {
  await node.stopAll();
  expect(await node.leftovers()).toEqual([]);
});

afterAll(() => node.stop());

async function bootOf(pod: TestPod): Promise<string | undefined> {
  return (await node.cri.podSandboxStatus(pod.id, true)).info["boot"];
}

function clone(): Promise<TestPod> {
  return node.runPod({ config: { annotations: { "io.blazar.boot": "clone" } } });
}

describe("clones of one template", () => {
  it(`are asked for ${CLONES} times, and never return the same random bytes or boot id`, async () => {
    const script =
      "head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n'; echo; cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid";
    const seen: string[] = [];
    for (let done = 0; done < CLONES; done += AT_ONCE) {
      const pods = await Promise.all(Array.from({ length: AT_ONCE }, clone));
      const containers = await Promise.all(pods.map((pod) => node.startContainer(pod, script)));
      for (const container of containers) {
        await node.waitForExit(container);
        const lines = await node.readLog(container);
        expect(lines).toHaveLength(3);
        seen.push(...lines.map(({ text }) => text));
      }
      for (const pod of pods) expect(await bootOf(pod)).toBe("clone");
      await node.stopAll();
    }
    expect(new Set(seen).size).toBe(3 * CLONES);
  }, 600_000);

  it("have the host's clock", async () => {
    const pod = await clone();
    const container = await node.startContainer(pod, "exec sleep 1000");
    expect(await offset(container)).toBeLessThan(CLOCK_MS);
  });
});

/** Milliseconds by which a container's clock is outside of the time that the question took on the host. */
async function offset(container: TestContainer): Promise<number> {
  const before = Date.now();
  const { stdout } = await node.exec(
    container,
    "adjtimex | grep -E 'time.tv_(sec|usec)' | grep -oE '[0-9]+$'",
  );
  const after = Date.now();
  const [seconds = 0, micros = 0] = stdout.trim().split("\n").map(Number);
  const guest = seconds * 1000 + micros / 1000;
  return Math.max(0, before - guest, guest - after);
}
