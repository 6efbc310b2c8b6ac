/**
 * A keeper that is killed while pods run, alone or with the daemon, through the real containerd: containers end, sandboxes stay,
 * and the node works on (docs/adr, 25).
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { keeperPid } from "../../lab/chaos/killer.ts";
import { runToEnd } from "../../lab/host/program.ts";
import { until } from "../../lab/host/until.ts";
import { PodSandboxState } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { InspectionClient } from "../../src/rpc/inspection/client.ts";
import { type TestContainer, TestNode, type TestPod } from "../support/e2e/node.ts";
import { blazarProgram, built } from "../support/e2e/program.ts";

/** As containerd has it when a container's connection is lost. */
const LOST = 255;

interface Victim {
  readonly pod: TestPod;
  readonly container: TestContainer;
  readonly mounts: { readonly containerPath: string; readonly hostPath: string }[];
  readonly vmm: number;
}

describe.skipIf(process.getuid?.() !== 0 || built().containerd === null)("a keeper that dies", () => {
  let node: TestNode;

  beforeAll(async () => {
    node = await TestNode.start();
  }, 120_000);

  afterEach(async () => {
    await node.stopAll();
    expect(await node.leftovers()).toEqual([]);
    await until("blazar doctor to find nothing", async () => ((await doctor()) === 0 ? true : undefined));
  }, 120_000);

  afterAll(() => node?.stop());

  async function doctor(): Promise<number | null> {
    const config = join(node.node.directory, "blazar.toml");
    const containerd = join(node.node.containerdDirectory, "config.toml");
    const words = ["doctor", "--config", config, "--containerd-config", containerd];
    return (await runToEnd([process.execPath, blazarProgram(), ...words])).code;
  }

  async function killKeeper(): Promise<number> {
    const pid = await keeperPid(node.node.stateDirectory);
    if (pid === undefined) throw new Error("there is no keeper");
    process.kill(pid, "SIGKILL");
    return pid;
  }

  async function ask<Answer>(question: (client: InspectionClient) => Promise<Answer>): Promise<Answer> {
    const client = new InspectionClient(node.node.inspectionSocket);
    try {
      return await question(client);
    } finally {
      client.close();
    }
  }

  /** A pod whose container has a volume with a file server. */
  async function podWithVolume(): Promise<Victim> {
    const hostPath = join(node.node.directory, "shared");
    await mkdir(hostPath, { recursive: true });
    await writeFile(join(hostPath, "file"), "from the host\n");
    const mounts = [{ containerPath: "/shared", hostPath }];
    const pod = await node.runPod();
    const container = await node.startContainer(pod, "exec sleep 1000", { mounts });
    return { pod, container, mounts, vmm: await node.vmmPid(pod) };
  }

  /** The container has ended, the sandbox has not, and everything works. */
  async function expectTruth(keeper: number, { pod, container, mounts, vmm }: Victim): Promise<void> {
    await until("another keeper", async () => {
      const now = await keeperPid(node.node.stateDirectory);
      return now === keeper ? undefined : now;
    });
    expect((await node.waitForExit(container)).exitCode).toBe(LOST);
    const detail = () => ask((client) => client.get(pod.id));
    await until("the old container to be gone", async () =>
      (await detail()).summary.containers === 0 ? true : undefined,
    );
    expect((await detail()).history.map(({ name }) => name)).toContainEqual(
      expect.stringMatching(/^containers have ended .*keeper has died/),
    );
    const { status } = await node.cri.podSandboxStatus(pod.id, false);
    expect([status?.state, await node.vmmPid(pod)]).toEqual([PodSandboxState.SANDBOX_READY, vmm]);
    const next = await node.startContainer(pod, "cat /shared/file; exec sleep 1000", { mounts });
    await node.waitForLog(next, "from the host");
    expect(await node.exec(next, "echo again; exit 5")).toEqual({ code: 5, stdout: "again\n", stderr: "" });
    await node.cri.removeContainer(container.id);
    await node.cri.stopContainer(next.id, 0);
    const last = await node.startContainer(await node.runPod(), "echo new; exit 6");
    expect((await node.waitForExit(last)).exitCode).toBe(6);
    expect((await node.readLog(last)).map(({ text }) => text)).toEqual(["new"]);
    await node.removePod(pod);
  }

  it("is replaced by the daemon: containers end, sandboxes stay and take new ones", async () => {
    const victim = await podWithVolume();
    await expectTruth(await killKeeper(), victim);
  }, 120_000);

  it("may die with the daemon: the next ones have what still runs", async () => {
    const victim = await podWithVolume();
    await node.node.stopBlazard({ kill: true });
    const keeper = await killKeeper();
    await node.node.restartBlazard();
    await expectTruth(keeper, victim);
  }, 120_000);
});
