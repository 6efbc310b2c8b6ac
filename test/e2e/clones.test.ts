/** Clones of one template through the real containerd: each is a machine of its own before its first container runs. */
import { readdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { patient } from "../../lab/host/patience.ts";
import { until } from "../../lab/host/until.ts";
import { type TestContainer, TestNode, type TestPod } from "../support/e2e/node.ts";

const CLONES = 30;
/** Pods that exist at the same time; the machine that tests run on has 24 GB. */
const AT_ONCE = 10;
/** How far a clock may be off, and how well that has to be known. */
const CLOCK_MS = patient(10);
const QUESTIONS = 20;

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
  it(
    `are asked for ${CLONES} times, and never return the same random bytes or boot id`,
    async () => {
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
    },
    patient(600_000),
  );

  it("come with a disk, which the first container gets and no other", async () => {
    const pod = await clone();
    const prepared = async (): Promise<string[]> =>
      (await readdir(node.node.scratchDirectory)).filter((name) => !/^original-|^\.owner$/.test(name));
    expect(await prepared()).toEqual([expect.stringContaining(pod.id)]);
    for (const name of ["first", "second"]) {
      const container = await node.startContainer(
        pod,
        `touch /${name}; ls -d /first /second; exec sleep 1000`,
      );
      await node.waitForLog(container, `/${name}`);
      expect((await node.exec(container, "ls / | grep -E '^(first|second)$'")).stdout).toBe(`${name}\n`);
      expect(await prepared()).toEqual([]);
    }
  });

  it("have the host's clock", async () => {
    const pod = await clone();
    const container = await node.startContainer(pod, "exec sleep 1000");
    expect(Math.abs(await clockOffset(container))).toBeLessThan(CLOCK_MS);
  });
});

/** By how many milliseconds a container's clock is off: of many questions the one that was answered the quickest. */
async function clockOffset(container: TestContainer): Promise<number> {
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const shell = await node.cri.exec(container.id, ["sh"], { tty: false, stdin, stdout });
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  const answers: { offset: number; uncertainty: number }[] = [];
  for (let question = 0; question < QUESTIONS; question++) {
    const asked = Date.now();
    // a variable of the shell: no process is started for it
    await shell.write("echo $EPOCHREALTIME\n");
    const { value } = await lines.next();
    const answered = Date.now();
    const guest = Number(value) * 1000;
    answers.push({ offset: guest - (asked + answered) / 2, uncertainty: (answered - asked) / 2 });
  }
  await shell.write("exit\n");
  expect(await shell.exitCode).toBe(0);
  const best = answers.sort((a, b) => a.uncertainty - b.uncertainty)[0];
  expect(best?.uncertainty).toBeLessThan(CLOCK_MS);
  return best?.offset ?? Number.NaN;
}
