/** The end of a blazard, and a drain of its node (docs/specification.md, "The daemon's end"). */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { answersAt } from "../../lab/host/daemon.ts";
import { runToEnd } from "../../lab/host/program.ts";
import { PodSandboxState } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { TestNode } from "../support/e2e/node.ts";
import { blazarProgram, built } from "../support/e2e/program.ts";

describe.skipIf(process.getuid?.() !== 0 || built().containerd === null)("a node", () => {
  let node: TestNode;
  const blazar = (...words: string[]) => {
    const address = ["--address", node.node.inspectionSocket];
    return runToEnd([process.execPath, blazarProgram(), ...words, ...address]);
  };

  beforeAll(async () => {
    node = await TestNode.start();
  }, 120_000);
  afterAll(() => node?.stop());

  it("loses all its pods by a drain, with their exit codes told, and takes none until it is called off", async () => {
    const pod = await node.runPod();
    const container = await node.startContainer(pod, "exec sleep 1000");
    const drained = await blazar("drain");
    expect(drained).toMatchObject({ code: 0, stderr: "" });
    expect(drained.stdout).toMatch(/^ended default\/pod1; 0 left\ndrained: 1 pod has ended\./);
    expect((await node.waitForExit(container)).exitCode).toBe(137);
    const { status } = await node.cri.podSandboxStatus(pod.id);
    expect(status?.state).toBe(PodSandboxState.SANDBOX_NOTREADY);
    await expect(node.runPod()).rejects.toThrow(/the node is drained; `blazar undrain` or a restart/);
    await node.stopAll();
    expect(await node.leftovers()).toEqual([]);
    expect(await blazar("undrain")).toMatchObject({ code: 0, stdout: "", stderr: "" });
    await node.removePod(await node.runPod());
  }, 120_000);

  it("has its pods and its keeper ended by SIGTERM, before blazard ends", async () => {
    const pod = await node.runPod();
    await node.startContainer(pod, "exec sleep 1000");
    const vmm = await node.vmmPid(pod);
    await node.node.stopBlazard();
    expect(() => process.kill(vmm, 0)).toThrow(/ESRCH/);
    expect(await answersAt(join(node.node.stateDirectory, "keeper.sock"))).toBe(false);
    expect((await blazar("drain")).code).toBe(70);
    await node.node.restartBlazard();
    await node.stopAll();
    expect(await node.leftovers()).toEqual([]);
  }, 120_000);
});
