/**
 * A daemon that is killed or stopped while pods run, and the next one, which takes over: through the real containerd.
 *
 * What runs counts lines into its log the whole time, so that each byte can be accounted for.
 */
import { mkdir, rename, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../lab/host/until.ts";
import { ContainerState, PodSandboxState } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { type TestContainer, TestNode } from "../support/e2e/node.ts";

let node: TestNode;

beforeAll(async () => {
  node = await TestNode.start();
});

afterEach(async () => {
  await node.stopAll();
  expect(await node.leftovers()).toEqual([]);
});

afterAll(() => node.stop());

const COUNTS = "i=0; while :; do i=$((i+1)); echo line $i; echo oops $i >&2; sleep 0.02; done";

/** Every line that a container has counted, of each stream, is there once and in order. Returns how many. */
async function countedLines(container: TestContainer): Promise<number> {
  const lines = await node.readLog(container);
  for (const [stream, word] of [
    ["stdout", "line"],
    ["stderr", "oops"],
  ] as const) {
    const found = lines.filter((line) => line.stream === stream).map(({ text }) => text);
    expect(found).toEqual(found.map((_, index) => `${word} ${index + 1}`));
  }
  return lines.length;
}

describe("a daemon that is started after another one died", () => {
  it("has all that runs, without a byte lost or doubled, as often as that happens", async () => {
    const [pod, other] = [await node.runPod(), await node.runPod()];
    const counter = await node.startContainer(pod, COUNTS);
    const ending = await node.startContainer(pod, "sleep 2; exit 7");
    const idle = await node.startContainer(other, "exec sleep 1000");
    await node.waitForLog(counter, "line 1");
    const pids = [await node.vmmPid(pod), await node.vmmPid(other)];
    const slow = node.exec(idle, "i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo $i; sleep 0.1; done; exit 3");
    for (const kill of [true, false, true]) {
      await node.node.restartBlazard({ kill });
      const before = await countedLines(counter);
      await until("more lines", async () => ((await countedLines(counter)) > before + 10 ? true : undefined));
    }
    expect([await node.vmmPid(pod), await node.vmmPid(other)]).toEqual(pids);
    const numbers = Array.from({ length: 60 }, (_, index) => `${index + 1}\n`).join("");
    expect(await slow).toEqual({ code: 3, stdout: numbers, stderr: "" });
    const { status } = await node.cri.containerStatus(ending.id);
    expect(status).toMatchObject({ state: ContainerState.CONTAINER_EXITED, exitCode: 7 });
    for (const each of [pod, other]) {
      const { status: found } = await node.cri.podSandboxStatus(each.id, false);
      expect(found?.state).toBe(PodSandboxState.SANDBOX_READY);
    }
    expect(await node.exec(idle, "echo again; exit 5")).toEqual({ code: 5, stdout: "again\n", stderr: "" });
    const next = await node.startContainer(pod, "echo new; exit 4");
    await node.waitForExit(next);
    expect((await node.readLog(next)).map(({ text }) => text)).toEqual(["new"]);
  });

  it("has their volumes follow the host, what changed meanwhile as well", async () => {
    const volume = join(node.node.directory, "config");
    const write = async (state: string) => {
      await mkdir(join(volume, `..${state}`), { recursive: true });
      await writeFile(join(volume, `..${state}`, "key"), state);
      await symlink(`..${state}`, join(volume, "..tmp"));
      await rename(join(volume, "..tmp"), join(volume, "..data"));
    };
    await write("first");
    await symlink("..data/key", join(volume, "key"));
    const pod = await node.runPod();
    const mounts = [{ containerPath: "/config", hostPath: volume, readonly: true }];
    const container = await node.startContainer(pod, "exec sleep 1000", { mounts });
    const shown = async () => (await node.exec(container, "cat /config/key")).stdout;
    expect(await shown()).toBe("first");
    await node.node.stopBlazard();
    await write("second");
    await node.node.restartBlazard();
    await until("the second state", async () => ((await shown()) === "second" ? true : undefined));
    await write("third");
    await until("the third state", async () => ((await shown()) === "third" ? true : undefined));
  });

  it("is ready also where no VM can be made, and a new pod is told so", async () => {
    const pod = await node.runPod();
    const container = await node.startContainer(pod, "exec sleep 1000");
    await node.node.restartBlazard({ config: { vmm: { binary: "/nowhere/qemu" } } });
    expect((await node.exec(container, "echo on; exit 6")).code).toBe(6);
    await expect(node.runPod()).rejects.toThrow("/nowhere/qemu");
    await node.node.restartBlazard({ config: {} });
    expect((await node.exec(container, "echo on; exit 7")).code).toBe(7);
    expect(
      (await node.exec(await node.startContainer(await node.runPod(), "exec sleep 1000"), "exit 8")).code,
    ).toBe(8);
  });
});
