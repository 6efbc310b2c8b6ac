/** What nobody holds goes by itself, and what only looks like it stays (docs/specification.md, "What is left behind"). */
import { execFileSync } from "node:child_process";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { processesOf } from "../../lab/host/processes.ts";
import { runToEnd } from "../../lab/host/program.ts";
import { until } from "../../lab/host/until.ts";
import { InspectionClient } from "../../src/rpc/inspection/client.ts";
import { TestNode } from "../support/e2e/node.ts";
import { blazarProgram, built } from "../support/e2e/program.ts";

interface Finding {
  readonly name: string;
  readonly verdict: string;
  readonly text: string;
}

describe.skipIf(process.getuid?.() !== 0 || built().containerd === null)("a node", () => {
  let node: TestNode;
  let client: InspectionClient;
  const at = (...names: string[]) => join(node.node.stateDirectory, ...names);

  beforeAll(async () => {
    node = await TestNode.start({ config: { reconcile: { interval: 1000 } } });
    client = new InspectionClient(node.node.inspectionSocket);
  }, 120_000);
  afterAll(async () => {
    client?.close();
    await node?.stop();
  });

  /** What `blazar doctor` says of leftovers. */
  async function doctor(...words: string[]): Promise<Finding[]> {
    const config = join(node.node.directory, "blazar.toml");
    const program = [process.execPath, blazarProgram(), "doctor", "--config", config, "-o", "json"];
    const { stdout } = await runToEnd([...program, ...words]);
    const { findings } = JSON.parse(stdout) as { findings: Finding[] };
    return findings.filter(({ name }) => name === "leftovers");
  }

  const differences = async () => (await client.reconcile(false)).differences;

  it("has nothing that nobody holds while pods run", async () => {
    const pod = await node.runPod();
    const hostPath = join(node.node.directory, "shared");
    await mkdir(hostPath);
    // with a file server, whose child does the work
    const mounts = [{ containerPath: "/shared", hostPath }];
    await node.startContainer(pod, "exec sleep 1000", { mounts });
    expect(await client.reconcile(false)).toEqual({ differences: [], unknown: [] });
    expect(await doctor()).toMatchObject([{ verdict: "ok" }]);
  }, 120_000);

  it("loses what a dead daemon has left, and nothing that only looks like it", async () => {
    const vmms = await processesOf([node.node.stateDirectory]);
    await node.node.stopBlazard({ kill: true });
    // whatever the pod has, no journal names it any more
    await rm(at("journals"), { recursive: true });
    await mkdir(at("vm", "lost"));
    await mkdir(at("sandboxes", "lost", "share"), { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "none", at("sandboxes", "lost", "share")]);
    await writeFile(join(node.node.scratchDirectory, "lost.ext4"), "");
    await writeFile(join(node.node.scratchDirectory, "notes.txt"), "");
    await writeFile(at("sandboxes", "notes.txt"), "");
    await node.node.restartBlazard();
    await until("the end of what nobody holds", async () => {
      const left = (await differences()).filter(({ action }) => action !== "");
      return left.length === 0 ? true : undefined;
    });
    // containerd has the pod, so it is containerd's to remove
    expect(await differences()).toMatchObject([{ kind: "unknown", action: "" }]);
    expect(vmms.some(({ command }) => command.includes("qemu"))).toBe(true);
    const running = (await processesOf([node.node.stateDirectory])).map(({ command }) => command);
    expect(running.filter((command) => command.includes("qemu"))).toEqual([]);
    expect(await readdir(at("vm"))).toEqual([]);
    expect(await readdir(at("uplinks"))).toEqual([]);
    expect(await readdir(at("sandboxes"))).toEqual(["notes.txt"]);
    expect((await readdir(node.node.scratchDirectory)).sort()).toEqual([".owner", "notes.txt"]);
    await rm(join(node.node.scratchDirectory, "notes.txt"));
    await rm(at("sandboxes", "notes.txt"));
    await node.stopAll();
    await until("the end of the control groups", async () =>
      (await node.leftovers()).length === 0 ? true : undefined,
    );
    expect(await differences()).toEqual([]);
  }, 120_000);

  it("has it removed by the doctor, also without a daemon: then no pod is touched", async () => {
    const pod = await node.runPod();
    await node.node.stopBlazard({ kill: true });
    const vmm = await node.vmmPid(pod);
    await mkdir(at("vm", "lost"));
    expect(
      (await doctor()).some(({ verdict, text }) => verdict === "fault" && text.includes("vm/lost")),
    ).toBe(true);
    expect(await readdir(at("vm"))).toContain("lost");
    await doctor("--fix");
    expect(await readdir(at("vm"))).not.toContain("lost");
    expect(process.kill(vmm, 0)).toBe(true);
    await node.node.restartBlazard();
    // containerd, whose calls have found nobody for a while, tries again after a pause
    const stopped = () =>
      node.stopAll().then(
        () => true,
        () => undefined,
      );
    await until("the end of the pod", stopped);
    expect(await node.leftovers()).toEqual([]);
  }, 120_000);
});
