/**
 * What somebody does by hand to the files of a daemon under running pods: journals damaged, sockets removed. No container ends by
 * it; through the real containerd.
 */
import { appendFile, copyFile, lstat, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { keeperPid } from "../../lab/chaos/killer.ts";
import { runToEnd } from "../../lab/host/program.ts";
import { until } from "../../lab/host/until.ts";
import { ContainerState, PodSandboxState } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { type TestContainer, TestNode, type TestPod } from "../support/e2e/node.ts";
import { blazarProgram, built } from "../support/e2e/program.ts";

const COUNTS = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done";

interface Counting {
  readonly pod: TestPod;
  readonly container: TestContainer;
}

describe.skipIf(process.getuid?.() !== 0 || built().containerd === null)(
  "state that somebody damages",
  () => {
    let node: TestNode;

    beforeAll(async () => {
      node = await TestNode.start({ config: { reconcile: { interval: 1_000 } } });
    }, 120_000);

    afterEach(async () => {
      await node.stopAll();
      await until("nothing to be left", async () =>
        (await node.leftovers()).length === 0 ? true : undefined,
      );
    }, 120_000);

    afterAll(() => node?.stop());

    const journal = ({ pod }: Counting) => join(node.node.stateDirectory, "journals", `${pod.id}.jsonl`);
    const copy = ({ pod }: Counting) =>
      join(node.node.stateDirectory, "journals", "copies", `${pod.id}.jsonl`);

    async function counting(): Promise<Counting> {
      const pod = await node.runPod();
      const container = await node.startContainer(pod, COUNTS);
      await node.waitForLog(container, "line 3");
      return { pod, container };
    }

    /** Every line is there once and in order, and more come. */
    async function countsOn({ container }: Counting): Promise<void> {
      const lines = async () => (await node.readLog(container)).map(({ text }) => text);
      const before = (await lines()).length;
      await until("more lines", async () => ((await lines()).length > before + 5 ? true : undefined));
      const all = await lines();
      expect(all).toEqual(all.map((_, index) => `line ${index + 1}`));
    }

    async function states({ pod, container }: Counting) {
      const sandbox = (await node.cri.podSandboxStatus(pod.id)).status?.state;
      return [sandbox, (await node.cri.containerStatus(container.id)).status?.state];
    }
    /** containerd's client has a pause between two tries to connect. */
    const runs = (each: Counting) =>
      until("containerd to have it running", async () =>
        JSON.stringify(await states(each).catch(() => [])) === JSON.stringify(RUNNING) ? true : undefined,
      );
    const RUNNING = [PodSandboxState.SANDBOX_READY, ContainerState.CONTAINER_RUNNING];

    async function blazar(...words: string[]) {
      const config = join(node.node.directory, "blazar.toml");
      return runToEnd([process.execPath, blazarProgram(), ...words, "--config", config]);
    }

    it("is mended: the next daemon has all pods, whatever was done to their journals", async () => {
      const [one, two, three] = [await counting(), await counting(), await counting()];
      await node.node.stopBlazard({ kill: true });
      await truncate(journal(one), 0);
      await copyFile(journal(three), journal(two));
      const text = await readFile(journal(three), "utf8");
      await writeFile(journal(three), text.replace(/^.*"name":"container\/.*$/m, "garbage"));
      await appendFile(journal(three), Buffer.from([0, 255, 10, 1]));
      await node.node.restartBlazard();
      for (const each of [one, two, three]) {
        await countsOn(each);
        expect((await node.exec(each.container, "exit 7")).code).toBe(7);
        await runs(each);
      }
      expect(await readFile(node.node.blazardLog, "utf8")).toContain("it was mended by its copy");
    }, 120_000);

    it("leaves alone what cannot be mended, until its pod is removed", async () => {
      const [lost, other] = [await counting(), await counting()];
      await node.node.stopBlazard({ kill: true });
      await writeFile(journal(lost), "garbage\n");
      await rm(copy(lost));
      const vmm = await node.vmmPid(lost.pod);
      await node.node.restartBlazard();
      await countsOn(other);
      // the reconciler has looked several times by then
      const reconciled = performance.now() + 6_000;
      await until("some rounds of the reconciler", async () =>
        performance.now() > reconciled ? true : undefined,
      );
      expect(await node.vmmPid(lost.pod)).toBe(vmm);
      const [, container] = await states(lost).catch(() => [undefined, undefined]);
      expect(container ?? ContainerState.CONTAINER_RUNNING).toBe(ContainerState.CONTAINER_RUNNING);
      await expect(node.exec(lost.container, "true")).rejects.toThrow("its journal is damaged");
      await node.removePod(lost.pod);
      await expect(node.vmmPid(lost.pod)).rejects.toThrow("no VMM");
      await countsOn(other);
      // what was kept aside is the operator's to remove
      await rm(`${journal(lost)}.unreadable`);
    }, 120_000);

    it("of a later version keeps this daemon from starting, and is as it was for the later one", async () => {
      const one = await counting();
      await node.node.stopBlazard({ kill: true });
      const now = await readFile(journal(one), "utf8");
      const later = now.replace('"version":1', '"version":99');
      for (const path of [journal(one), copy(one)]) await writeFile(path, later);
      await expect(node.node.restartBlazard()).rejects.toThrow(/is of version 99, and this blazard reads 1/);
      expect(await readFile(journal(one), "utf8")).toBe(later);
      for (const path of [journal(one), copy(one)]) await writeFile(path, now);
      await node.node.restartBlazard();
      await countsOn(one);
      await runs(one);
    }, 120_000);

    it("has its sockets again when they were removed, also before a daemon that starts needs them", async () => {
      const one = await counting();
      const state = node.node.stateDirectory;
      const sockets = (await readdir(state)).filter((name) => name.endsWith(".sock"));
      expect(sockets.sort()).toEqual(["blazar.sock", "inspection.sock", "keeper.sock", "task.sock"]);
      for (const name of sockets) await rm(join(state, name));
      for (const name of sockets)
        await until(
          `${name} again`,
          async () => (await lstat(join(state, name)).catch(() => undefined)) ?? undefined,
        );
      const added = await node.startContainer(one.pod, "exit 3");
      expect((await node.waitForExit(added)).exitCode).toBe(3);
      expect((await blazar("ps")).code).toBe(0);
      const keeper = await keeperPid(state);
      for (const name of sockets) await rm(join(state, name));
      await node.node.restartBlazard({ kill: true });
      expect(await keeperPid(state)).toBe(keeper);
      await countsOn(one);
      await runs(one);
    }, 120_000);

    it("is told by ps and why: a keeper that is stopped", async () => {
      const one = await counting();
      const keeper = (await keeperPid(node.node.stateDirectory)) ?? 0;
      process.kill(keeper, "SIGSTOP");
      const told = [await blazar("ps"), await blazar("why", one.pod.id)];
      process.kill(keeper, "SIGCONT");
      for (const { stdout } of told)
        expect(stdout.replaceAll(/\s+/g, " ")).toContain(`(pid ${keeper}) is stopped by a signal`);
      await countsOn(one);
      expect((await blazar("ps")).stdout).not.toContain("stopped");
    }, 120_000);
  },
);
