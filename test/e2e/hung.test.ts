/** A guest that hangs keeps nobody from stopping and removing its pod: its QEMU is halted, and every call ends in time. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { TestNode, type TestPod } from "../support/e2e/node.ts";

/** What a stop may take beyond its grace period, whatever is dead, in milliseconds. */
const BEYOND_MS = 5_000;
/** A busy machine's share of that: the calls themselves, and what is torn down. */
const BUSY_MS = 3_000;
let node: TestNode;

beforeAll(async () => {
  node = await TestNode.start();
});

afterEach(async () => {
  await node.stopAll();
  expect(await node.leftovers()).toEqual([]);
});

afterAll(() => node.stop());

async function took(act: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await act();
  return performance.now() - started;
}

async function halted(): Promise<TestPod> {
  const pod = await node.runPod();
  process.kill(await node.vmmPid(pod), "SIGSTOP");
  return pod;
}

describe("a pod whose guest hangs", () => {
  it("has its containers stopped within their grace period and five seconds, as killed, and is removed", async () => {
    const pod = await node.runPod();
    const containers = [
      await node.startContainer(pod, "exec sleep 1000"),
      await node.startContainer(pod, "exec sleep 1000"),
    ];
    process.kill(await node.vmmPid(pod), "SIGSTOP");
    const graceSeconds = 3;
    const [first, second] = containers;
    const stop = () => node.cri.stopContainer(first?.id ?? "", graceSeconds);
    expect(await took(stop)).toBeLessThan(graceSeconds * 1_000 + BEYOND_MS + BUSY_MS);
    if (second !== undefined) expect(await node.waitForExit(second)).toMatchObject({ exitCode: 137 });
    expect(await took(() => node.cri.stopPodSandbox(pod.id))).toBeLessThan(BEYOND_MS + BUSY_MS);
    for (const { id } of containers) await node.cri.removeContainer(id);
    await node.cri.removePodSandbox(pod.id);
  });

  it("is stopped at once with its containers running", async () => {
    const pod = await node.runPod();
    await node.startContainer(pod, "exec sleep 1000");
    process.kill(await node.vmmPid(pod), "SIGSTOP");
    expect(await took(() => node.cri.stopPodSandbox(pod.id))).toBeLessThan(BEYOND_MS + BUSY_MS);
    await node.cri.removePodSandbox(pod.id);
  });

  it("is stopped without containers, too", async () => {
    const pod = await halted();
    expect(await took(() => node.cri.stopPodSandbox(pod.id))).toBeLessThan(BEYOND_MS + BUSY_MS);
    await node.cri.removePodSandbox(pod.id);
  });

  it("lives on if it is only halted for a while, and gets the signals of meanwhile", async () => {
    const pod = await node.runPod();
    const container = await node.startContainer(
      pod,
      "trap 'echo got it; exit 7' TERM; echo listening; while :; do sleep 0.1; done",
    );
    await node.waitForLog(container, "listening");
    const vmm = await node.vmmPid(pod);
    process.kill(vmm, "SIGSTOP");
    const stopped = node.cri.stopContainer(container.id, 60);
    setTimeout(() => process.kill(vmm, "SIGCONT"), 4_000);
    await stopped;
    expect(await node.waitForExit(container)).toMatchObject({ exitCode: 7 });
    await node.waitForLog(container, "got it");
  });
});
