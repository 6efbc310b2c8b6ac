/** What operators see of pods of a real containerd, by the daemon's inspection socket. */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../lab/host/until.ts";
import type { HistoryEntry, InspectionEvent, SandboxDetail } from "../../src/contracts/inspection.ts";
import { InspectionClient } from "../../src/rpc/inspection/client.ts";
import { TestNode } from "../support/e2e/node.ts";

let node: TestNode;
let client: InspectionClient;

beforeAll(async () => {
  node = await TestNode.start();
  client = new InspectionClient(join(node.node.stateDirectory, "inspection.sock"));
});

afterEach(async () => {
  await node.stopAll();
  expect(await node.leftovers()).toEqual([]);
});

afterAll(async () => {
  client?.close();
  await node?.stop();
});

/** The names of what has led to an entry, from the first cause on. */
function pathTo(history: readonly HistoryEntry[], find: (entry: HistoryEntry) => boolean): string[] {
  const byId = new Map(history.map((entry) => [entry.id, entry]));
  const path: string[] = [];
  for (let at = history.find(find); at !== undefined; at = byId.get(at.cause ?? 0))
    path.unshift(at.kind === "transition" ? `${at.chart} → ${at.to}` : at.name);
  return path;
}

describe("a pod's life", () => {
  it("can be watched, and is kept with all its causes after the pod is gone", async () => {
    const events: InspectionEvent[] = [];
    const watch = client.watch({ entries: true }).subscribe({
      next: (event) => events.push(event),
      error: () => undefined,
      complete: () => undefined,
    });
    await until("the first event", async () => events[0]);
    const pod = await node.runPod();
    await node.startContainer(pod, "sleep 1000");
    const running = await client.get(pod.id);
    expect(running.summary).toMatchObject({ phase: "ready", state: "ready.running", containers: 1 });
    expect(running.summary.startMs).toBeGreaterThan(0);
    expect(running.why).toMatch(/has been in ready.running for .* nothing is waited for/);
    expect(running.resources.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(["directory", "cgroups", "process", "stdio"]),
    );
    await node.stopAll();
    const kept = await until("the end", async () => {
      const detail = await client.get(pod.id);
      return detail.summary.endedAt === undefined ? undefined : detail;
    });
    const guestStep = ({ name }: HistoryEntry) => name === "guest container.create";
    const [first, ...rest] = pathTo(kept.history, guestStep);
    expect(first).toBe("Task.Create");
    expect(rest.at(-1)).toBe("guest container.create");
    expect(pathTo(kept.history, ({ name }) => name === "connectAgent")[0]).toBe("Controller.Start");
    expect(kept.summary.phase).toBe("stopped");
    expect(kept.resources).toEqual([]);
    expect((await client.list()).map(({ id }) => id)).toContain(pod.id);
    watch.unsubscribe();
    const states = events.flatMap((event) =>
      event.type === "summary" && event.summary.id === pod.id ? [event.summary.state] : [],
    );
    expect(states[0]).toBe("creating");
    expect(states).toContain("ready.running");
    expect(states.at(-1)).toBe("removed");
  }, 120_000);

  it("says why it does nothing while its VMM is stopped", async () => {
    const pod = await node.runPod();
    const { pid } = (await client.get(pod.id)).summary;
    process.kill(pid, "SIGSTOP");
    const created = node.startContainer(pod, "echo alive");
    created.catch(() => undefined);
    const stuck = await until("a container that waits", async (): Promise<SandboxDetail | undefined> => {
      const detail = await client.get(pod.id);
      const waits = detail.deadlines.some(({ name }) => name === "containerCreate");
      return waits && /\(now (guest|vmm) /.test(detail.why) ? detail : undefined;
    });
    expect(stuck.why).toContain(`Its VMM (pid ${pid}) is stopped by a signal (state T)`);
    expect(stuck.why).toMatch(/the answer of the (guest agent|VMM) is missing/);
    expect(stuck.why).toMatch(/The deadline containerCreate \(90.0 s\) ends that at .* UTC/);
    expect(stuck.why).toContain(`kill -CONT ${pid}`);

    process.kill(pid, "SIGCONT");
    await created;
  }, 120_000);
});

describe("crictl inspectp", () => {
  it("shows the daemon's own words", async () => {
    const pod = await node.runPod();
    const { info } = await node.cri.podSandboxStatus(pod.id, true);

    expect(Object.keys(info)).toContain("why");
  }, 120_000);
});
