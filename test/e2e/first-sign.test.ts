/** A VM that boots and hangs makes way for another one: the pod starts all the same, soon, and says what happened. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { processesOf } from "../../lab/host/processes.ts";
import { until } from "../../lab/host/until.ts";
import { processStat } from "../../src/lib/processes/processes.ts";
import { TestNode } from "../support/e2e/node.ts";

const FIRST_SIGN_MS = 3_000;
const HALTED: number[] = [];
let node: TestNode;

beforeAll(async () => {
  node = await TestNode.start({ config: { deadlines: { firstSign: FIRST_SIGN_MS } } });
});

afterEach(async () => {
  await node.stopAll();
  expect(await node.leftovers()).toEqual([]);
});

afterAll(() => node.stop());

/** Pids of the VMMs of this node's sandboxes. */
async function vmms(): Promise<number[]> {
  const found = await processesOf(["-M microvm"]);
  const logs = `${node.node.stateDirectory}/`;
  return found.filter(({ output }) => output.startsWith(logs)).map(({ pid }) => pid);
}

/** CPU time in which QEMU has long answered on QMP, and no guest has said hello. */
const BETWEEN_MS = 800;

/** Halts the next VMM while its guest boots. */
async function haltNext(): Promise<void> {
  const pid = await until("a VMM", async () => (await vmms()).find((each) => !HALTED.includes(each)), {
    pollMs: 5,
  });
  const spent = async () => ((await processStat(pid))?.cpuMs ?? 0) >= BETWEEN_MS || undefined;
  await until("a boot that is half done", spent, { pollMs: 5 });
  process.kill(pid, "SIGSTOP");
  HALTED.push(pid);
}

describe("a VM that hangs while it boots", () => {
  it("is replaced by another one within seconds, twice if need be", async () => {
    const running = node.runPod();
    await haltNext();
    await haltNext();
    const pod = await running;
    const { info } = await node.cri.podSandboxStatus(pod.id, true);
    expect(info["fallbacks"]?.match(/no sign of life/g)).toHaveLength(2);
    const [vmm, ...others] = await vmms();
    expect(others).toEqual([]);
    expect(HALTED).not.toContain(vmm);
    const container = await node.startContainer(pod, "echo alive");
    expect(await node.waitForExit(container)).toMatchObject({ exitCode: 0 });
  }, 120_000);
});
