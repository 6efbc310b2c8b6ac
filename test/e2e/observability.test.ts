/** Metrics and traces of a daemon that runs pods: on the socket, on the loopback, and at a collector. */
import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../../lab/host/until.ts";
import { TestNode } from "../support/e2e/node.ts";
import { blazarProgram } from "../support/e2e/program.ts";
import { freePort } from "../support/free-port.ts";
import { lineage, OtlpReceiver } from "../support/otlp/receiver.ts";

const CREATE = "containerd.task.v3.Task/Create";
const START = "containerd.services.sandbox.v1.Controller/Start";

let node: TestNode;
let port: number;
const receiver = new OtlpReceiver();

beforeAll(async () => {
  const endpoint = await receiver.listen();
  port = await freePort();
  const config = { metrics: { listen: `127.0.0.1:${port}` }, traces: { endpoint } };
  node = await TestNode.start({ collector: endpoint, config });
});

afterAll(async () => {
  await node?.stop();
  receiver.close();
});

/** What the inspection socket answers. */
function page(
  path: string,
): Promise<{ readonly status: number; readonly type: string; readonly text: string }> {
  const socketPath = join(node.node.stateDirectory, "inspection.sock");
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path }, (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += String(chunk);
      });
      const { statusCode: status = 0, headers } = response;
      response.on("end", () => resolve({ status, type: headers["content-type"] ?? "", text }));
    });
    asked.on("error", reject);
    asked.end();
  });
}

/** The value of a series; undefined if there is none. */
function valueIn(text: string, series: string): number | undefined {
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length));
}

test("a scrape tells of the pod that runs: its start, its VM, its calls", async () => {
  const before = (await page("/metrics")).text;
  expect(valueIn(before, 'blazar_sandboxes{phase="ready"}')).toBe(0);
  const pod = await node.runPod();
  await node.startContainer(pod, "exec sleep 1000");
  const { status, type, text } = await page("/metrics");
  expect([status, type]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
  expect(valueIn(text, 'blazar_sandboxes{phase="ready"}')).toBe(1);
  expect(valueIn(text, "blazar_containers")).toBe(1);
  expect(valueIn(text, 'blazar_sandbox_starts_total{path="boot"}')).toBe(1);
  expect(valueIn(text, 'blazar_sandbox_start_duration_seconds_count{path="boot"}')).toBe(1);
  expect(valueIn(text, 'blazar_call_duration_seconds_count{method="Controller.Start"}')).toBe(1);
  expect(valueIn(text, 'blazar_step_duration_seconds_count{step="guest container.create"}')).toBe(1);
  expect(valueIn(text, "blazar_keeper_up")).toBe(1);
  const { name = "", namespace = "" } = pod.config.metadata ?? {};
  const labels = `{namespace="${namespace}",pod="${name}"}`;
  expect(valueIn(text, `blazar_vmm_resident_memory_bytes${labels}`)).toBeGreaterThan(20e6);
  expect(valueIn(text, `blazar_vmm_cpu_seconds_total${labels}`)).toBeGreaterThan(0);
  expect(valueIn(text, 'blazar_guest_link_bytes_total{direction="sent"}')).toBeGreaterThan(1_000);
  const onLoopback = await fetch(`http://127.0.0.1:${port}/metrics`);
  expect(onLoopback.status).toBe(200);
  expect(await onLoopback.text()).toContain(labels);
  await node.stopAll();
  const after = (await page("/metrics")).text;
  expect(after).not.toContain(labels);
  expect(valueIn(after, 'blazar_sandboxes{phase="ready"}')).toBe(0);
});

test("a daemon that sends no traces does not load what makes them", async () => {
  const bundle = (name: string) => readFile(join(dirname(blazarProgram()), name), "utf8");
  const mark = "OTLPTraceExporter";
  expect(await bundle("traces.mjs")).toContain(mark);
  const daemon = await bundle("serve.mjs");
  expect(daemon).toContain("./traces.mjs");
  expect(daemon).not.toContain(mark);
});

test("a start is a trace down to the guest's steps, and a task call belongs to containerd's", async () => {
  const pod = await node.runPod();
  await node.startContainer(pod, "exec sleep 1000");
  const own = () => receiver.spans.filter(({ attributes }) => attributes["blazar.sandbox.id"] === pod.id);
  const find = (name: string) =>
    until(`the span ${name}`, async () => own().find((span) => span.name === name));
  const inSetUp = await find("guest identity");
  const inCreate = await find("guest first process");
  const [create, start] = [await find(CREATE), await find(START)];
  expect(lineage(own(), inSetUp).map(({ name }) => name)).toContain("guest sandbox.setup");
  expect(lineage(own(), inCreate).at(-1)).toBe(create);
  // containerd 2.1 sends its context with Task calls
  expect(create.parentSpanId).not.toBe("");
  expect(start.events).toContain("sandbox booting → ready.running");
  await node.stopAll();
});
