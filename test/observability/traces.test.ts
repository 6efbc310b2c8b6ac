/** A pod's start through a real containerd that traces, in OpenTelemetry's own collector: one trace, down to the guest. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Daemon } from "../../lab/host/daemon.ts";
import { until } from "../../lab/host/until.ts";
import { TestNode } from "../support/e2e/node.ts";
import { freePort } from "../support/free-port.ts";
import { lineage, type ReceivedSpan, readSpans } from "../support/otlp/receiver.ts";

const CREATE = "containerd.task.v3.Task/Create";

let node: TestNode;
let collector: Daemon;
let directory: string;
let file: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "blazar-otelcol-"));
  const port = await freePort();
  file = join(directory, "spans.jsonl");
  const program = process.env["BLAZAR_OTELCOL"] ?? "otelcol";
  collector = await Daemon.start({
    name: "the collector",
    program,
    args: ["--config", `yaml:${JSON.stringify(collectorConfig(port))}`],
    env: process.env,
    logFile: join(directory, "collector.log"),
    ready: async () => (await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined)) !== undefined,
    readyTimeoutMs: 30_000,
    stopTimeoutMs: 10_000,
  });
  const endpoint = `http://127.0.0.1:${port}`;
  node = await TestNode.start({ collector: endpoint, config: { traces: { endpoint } } });
});

afterAll(async () => {
  await node?.stop();
  await collector?.stop();
  await rm(directory, { recursive: true, force: true });
});

function collectorConfig(port: number) {
  return {
    receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } } },
    exporters: { file: { path: file, flush_interval: "100ms" } },
    service: {
      telemetry: { metrics: { level: "none" } },
      pipelines: { traces: { receivers: ["otlp"], exporters: ["file"] } },
    },
  };
}

async function collected(): Promise<ReceivedSpan[]> {
  const text = await readFile(file, "utf8").catch(() => "");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  return whole
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line) => readSpans(JSON.parse(line)));
}

/** Waits for a span that belongs to such a lineage. */
function findLineage(name: string, top: RegExp): Promise<ReceivedSpan[]> {
  return until(`a trace from ${top} to ${name}`, async () => {
    const spans = await collected();
    const found = spans.filter((span) => span.name === name).map((span) => lineage(spans, span));
    return found.find((above) => top.test(above.at(-1)?.name ?? ""));
  });
}

test("a container's start is one trace, from the CRI call in containerd to a step of the guest", async () => {
  const pod = await node.runPod();
  await node.startContainer(pod, "exec sleep 1000");
  const above = await findLineage("guest first process", /StartContainer/);
  const names = above.map(({ name }) => name);
  expect(names.slice(0, 4)).toEqual(["guest first process", "guest container.create", "create", CREATE]);
  const services = above.map(({ resource }) => resource["service.name"]);
  expect(services.slice(0, 4)).toEqual(["blazard", "blazard", "blazard", "blazard"]);
  expect(services.at(-1)).toBe("containerd");
  // containerd's own span of the same call is around ours
  expect(names.slice(4)).toContain(CREATE);
  expect(above[3]).toMatchObject({
    kind: 2,
    attributes: { "rpc.system": "ttrpc", "blazar.sandbox.id": pod.id },
  });
});

test("a sandbox's start is a trace from the call to the guest's own steps", async () => {
  const pod = await node.runPod();
  const own = async () =>
    (await collected()).filter(({ attributes }) => attributes["blazar.sandbox.id"] === pod.id);
  const find = (name: string) =>
    until(`the span ${name}`, async () => (await own()).find((span) => span.name === name));
  const call = await find("containerd.services.sandbox.v1.Controller/Start");
  expect(call.attributes["k8s.pod.name"]).toBe(pod.config.metadata?.name);
  expect(call.events).toContain("sandbox booting → ready.running");
  const above = lineage(await own(), await find("guest identity"));
  expect(above.map(({ name }) => name).slice(0, 2)).toEqual(["guest identity", "guest sandbox.setup"]);
  expect(above.at(-1)?.name).toMatch(/Controller\/(Create|Start)$/);
  for (const [index, { name, start }] of above.entries())
    expect(start, name).toBeGreaterThanOrEqual((above[index + 1]?.start ?? 0) - 1);
});
