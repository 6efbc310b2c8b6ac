/**
 * A node that is upgraded while pods run: this build's daemon with an earlier keeper and earlier agents in the pods' guests,
 * through the real containerd. `npm run test:upgrade` builds what is earlier.
 *
 * What runs counts lines into its log the whole time, so that each byte can be accounted for.
 */
import { access, mkdir, rename, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, describe, expect, it, vi } from "vitest";
import { keeperPid } from "../../lab/chaos/killer.ts";
import { programOf } from "../../lab/host/processes.ts";
import { runToEnd } from "../../lab/host/program.ts";
import { until } from "../../lab/host/until.ts";
import type { ProductBuild } from "../../lab/node/private-node.ts";
import { BlazarError } from "../../src/contracts/errors.ts";
import { ContainerState, PodSandboxState } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { type TestContainer, TestNode, type TestPod } from "../support/e2e/node.ts";
import { blazarProgram, built } from "../support/e2e/program.ts";

type Build = Required<ProductBuild>;

/** What pods are started with: a build with its keeper. */
interface Before extends Build {
  readonly keeper: string;
}

const { from, keeper: older } = JSON.parse(process.env["BLAZAR_PREVIOUS"] ?? "{}") as {
  readonly from: Before;
  /** Of a daemon that leaves nothing to be taken over. */
  readonly keeper: Before;
};
const current: Build = { program: blazarProgram(), cache: built().cache };

const COUNTS = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.02; done";
/** Ends while no daemon is there: the host says when, and sees it, by a shared volume. */
const ENDS_WHEN_TOLD =
  "until [ -e /shared/go ]; do sleep 0.05; done; echo last words; echo > /shared/gone; exit 7";
const SHARED = "/shared";

let node: TestNode;
let shared = "";
let config = "";

/** A node of this build, with volumes for its pods. */
async function startNode({ program, cache, keeper }: Before): Promise<void> {
  node = await TestNode.start({ program, cache, config: { keeper: { binary: keeper } } });
  shared = join(node.node.directory, "shared");
  config = join(node.node.directory, "config");
  await mkdir(shared);
  await mkdir(config);
  await writeConfig("first");
  await symlink("..data/key", join(config, "key"));
}

afterEach(async () => {
  try {
    await node.stopAll();
    expect(await node.leftovers()).toEqual([]);
  } finally {
    await node.stop();
  }
});

/** A new state of a ConfigMap, as kubelet writes it. */
async function writeConfig(state: string): Promise<void> {
  await mkdir(join(config, `..${state}`));
  await writeFile(join(config, `..${state}`, "key"), state);
  await symlink(`..${state}`, join(config, "..tmp"));
  await rename(join(config, "..tmp"), join(config, "..data"));
}

function mounts() {
  return [
    { containerPath: SHARED, hostPath: shared },
    { containerPath: "/config", hostPath: config, readonly: true },
  ];
}

/** Every line that a container has counted is there once and in order. Returns how many. */
async function countedLines(container: TestContainer): Promise<number> {
  const found = (await node.readLog(container)).map(({ text }) => text);
  expect(found).toEqual(found.map((_, index) => `line ${index + 1}`));
  return found.length;
}

async function expectCounting(container: TestContainer): Promise<void> {
  const before = await countedLines(container);
  await until("more lines", async () => ((await countedLines(container)) > before + 10 ? true : undefined));
}

/** Starts the next daemon, and waits until containerd has reached it: gRPC tries again after about a second. */
async function restart(build?: ProductBuild): Promise<void> {
  await node.node.restartBlazard(build === undefined ? {} : { build, config: {} });
  const pods = await node.cri.listPodSandboxes();
  await until("containerd to reach blazard", async () => {
    try {
      for (const { id } of pods) await node.cri.podSandboxStatus(id, false);
      return true;
    } catch (error) {
      if (error instanceof BlazarError && error.code === "RemoteUnavailable") return undefined;
      throw error;
    }
  });
}

async function keeperProgram(): Promise<string> {
  const pid = await keeperPid(node.node.stateDirectory);
  return pid === undefined ? "" : await programOf(pid);
}

/** This build's `blazar doctor` finds nothing. */
async function expectHealthy(): Promise<void> {
  const words = [
    ...["doctor", "--config", join(node.node.directory, "blazar.toml")],
    ...["--containerd-config", join(node.node.containerdDirectory, "config.toml")],
  ];
  // what is on its way out is found until it has gone
  await vi.waitFor(
    async () => {
      const { code, stdout } = await runToEnd([process.execPath, current.program, ...words]);
      expect({ code, stdout }).toMatchObject({ code: 0 });
    },
    { timeout: 60_000, interval: 500 },
  );
}

/** Containers can be made, run, asked into and removed in a pod, whoever has made it. */
async function expectWorks(pod: TestPod): Promise<void> {
  const short = await node.startContainer(pod, "cat /config/key; echo; echo new; exit 4", {
    mounts: mounts(),
  });
  expect((await node.waitForExit(short)).exitCode).toBe(4);
  expect((await node.readLog(short)).map(({ text }) => text).slice(1)).toEqual(["new"]);
  const long = await node.startContainer(pod, "trap 'exit 3' TERM; while :; do sleep 0.05; done");
  expect(await node.exec(long, "echo asked; exit 5")).toEqual({ code: 5, stdout: "asked\n", stderr: "" });
  await node.cri.stopContainer(long.id, 10);
  expect((await node.waitForExit(long)).exitCode).toBe(3);
  for (const { id } of [short, long]) await node.cri.removeContainer(id);
}

describe.each([
  ["all of an earlier build", from],
  ["an older keeper", { ...current, keeper: older.keeper }],
] as const)("a node with %s", (_what, build) => {
  it.each([
    ["SIGKILL", true],
    ["SIGTERM", false],
  ])("that is upgraded by %s while pods run loses no byte of them", async (_name, kill) => {
    await startNode(build);
    const pod = await node.runPod();
    const counter = await node.startContainer(pod, COUNTS);
    const ending = await node.startContainer(pod, ENDS_WHEN_TOLD, { mounts: mounts() });
    const idle = await node.startContainer(await node.runPod(), "exec sleep 1000", { mounts: mounts() });
    await node.waitForLog(counter, "line 10");
    const [keeper, vmm] = [await keeperPid(node.node.stateDirectory), await node.vmmPid(pod)];
    expect(await keeperProgram()).toBe(build.keeper);
    const slow = node.exec(idle, "i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo $i; sleep 0.1; done; exit 3");
    slow.catch(() => undefined);
    const screen = new PassThrough().setEncoding("utf8");
    let shown = "";
    screen.on("data", (text: string) => {
      shown += text;
    });
    const shell = await node.cri.exec(idle.id, ["sh"], {
      tty: true,
      stdin: new PassThrough(),
      stdout: screen,
    });
    await shell.write("echo bef''ore\n");
    await until("the shell's answer", async () => (shown.includes("before") ? true : undefined));

    await node.node.stopBlazard({ kill });
    await writeFile(join(shared, "go"), "");
    await until("a container's end", () =>
      access(join(shared, "gone")).then(
        () => true,
        () => undefined,
      ),
    );
    await writeConfig("second");
    await restart(current);

    await expectCounting(counter);
    expect((await node.waitForExit(ending)).exitCode).toBe(7);
    expect((await node.readLog(ending)).map(({ text }) => text)).toEqual(["last words"]);
    await shell.write("echo af''ter; exit 9\n");
    expect(await shell.exitCode).toBe(9);
    expect(shown).toContain("after");
    const numbers = Array.from({ length: 60 }, (_, index) => `${index + 1}\n`).join("");
    expect(await slow).toEqual({ code: 3, stdout: numbers, stderr: "" });
    await until("the volume's next state", async () =>
      (await node.exec(idle, "cat /config/key")).stdout === "second" ? true : undefined,
    );
    const { status } = await node.cri.podSandboxStatus(pod.id, false);
    expect(status?.state).toBe(PodSandboxState.SANDBOX_READY);
    await expectWorks(pod);
    await expectWorks(await node.runPod());

    // and once more, by this build's own daemons, with what is left of the earlier one
    await restart();
    await expectCounting(counter);
    await expectWorks(pod);
    expect([await keeperPid(node.node.stateDirectory), await node.vmmPid(pod)]).toEqual([keeper, vmm]);
    const states = await node.cri.containerStatus(counter.id);
    expect(states.status?.state).toBe(ContainerState.CONTAINER_RUNNING);
    await expectHealthy();
    await node.removePod(pod);
    await expectHealthy();
  });

  it("has this build's keeper as well, once no pod is left", async () => {
    await startNode(build);
    const pod = await node.runPod();
    await node.startContainer(pod, "exec sleep 1000", { mounts: mounts() });
    await restart(current);
    await node.removePod(pod);
    // a daemon that leaves ends a keeper that holds nothing
    await node.node.stopBlazard();
    await until("the keeper's end", async () => ((await keeperProgram()) === "" ? true : undefined));
    await restart();
    expect(await keeperProgram()).toBe(built().keeper);
    await expectWorks(await node.runPod());
    await expectHealthy();
  });
});

describe("a node with a build that leaves nothing to be taken over", () => {
  it("loses its pods when it is upgraded, and nothing of them is left; its keeper goes on", async () => {
    await startNode(older);
    const pod = await node.runPod();
    await node.startContainer(pod, "exec sleep 1000", { mounts: mounts() });
    const keeper = await keeperPid(node.node.stateDirectory);
    await node.node.stopBlazard({ kill: true });
    await restart(current);
    const { status } = await node.cri.podSandboxStatus(pod.id, false);
    expect(status?.state).toBe(PodSandboxState.SANDBOX_NOTREADY);
    await node.removePod(pod);
    await expectWorks(await node.runPod());
    expect(await keeperPid(node.node.stateDirectory)).toBe(keeper);
    await expectHealthy();
  });
});
