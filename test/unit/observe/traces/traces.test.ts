/** Traces: one tree from containerd's call to a guest's step, and a collector that can do no harm. */
import { afterEach, beforeEach, describe, expect, it, test, vi } from "vitest";
import { silentLogger } from "../../../../src/contracts/logger.ts";
import { startTraces, type Traces } from "../../../../src/observe/traces/traces.ts";
import { ToldHistory, toldStart } from "../../../support/fake-metrics/history.ts";
import { type Manner, OtlpReceiver } from "../../../support/otlp/receiver.ts";

const CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const CREATE = "containerd.services.sandbox.v1.Controller/Create";
const START = "containerd.services.sandbox.v1.Controller/Start";

let receiver: OtlpReceiver;
let traces: Traces;
let warnings: string[];

beforeEach(async () => {
  receiver = new OtlpReceiver();
  warnings = [];
  const logger = { ...silentLogger, warn: (_: unknown, text: string) => void warnings.push(text) };
  traces = startTraces({
    endpoint: await receiver.listen(),
    ratio: 1,
    version: "1.2.3",
    node: "node-1",
    instance: "life-1",
    podOf: (id) => ({ name: `pod-${id}`, namespace: "default", uid: "uid-1" }),
    logger,
    delayMs: 1,
    timeoutMs: 200,
  });
});

afterEach(async () => {
  await traces.close();
  receiver.close();
});

test("a start is one trace of its caller's, from the call to the guest's own step", async () => {
  toldStart(new ToldHistory(traces.listener, "a"), CALLER);
  await traces.close();
  const [create, start, setUp, asked, part] = [
    CREATE,
    START,
    "setUpGuest",
    "guest sandbox.setup",
    "guest: names",
  ].map((name) => receiver.find(name));
  expect(receiver.spans.every(({ traceId }) => traceId === "0af7651916cd43dd8448eb211c80319c")).toBe(true);
  expect(create).toMatchObject({ parentSpanId: "b7ad6b7169203331", kind: 2 });
  expect(start).toMatchObject({ parentSpanId: "b7ad6b7169203331", kind: 2 });
  expect(receiver.find("provision")?.parentSpanId).toBe(create?.spanId);
  expect(setUp?.parentSpanId).toBe(start?.spanId);
  expect(asked).toMatchObject({ parentSpanId: setUp?.spanId, kind: 3 });
  expect(part).toMatchObject({ parentSpanId: asked?.spanId, kind: 1 });
  expect((start?.end ?? 0) - (start?.start ?? 0)).toBeCloseTo(1_200, 0);
  expect((part?.start ?? 0) - (asked?.start ?? 0)).toBeCloseTo(100, 0);
  expect(start?.events).toContain("boot cloning → booting");
  expect(start?.events).toContain("sandbox booting → ready.running");
  expect(start?.attributes).toMatchObject({
    "rpc.system": "grpc",
    "rpc.method": "Start",
    "k8s.pod.name": "pod-a",
    "k8s.namespace.name": "default",
    "blazar.sandbox.id": "a",
  });
  expect(start?.resource).toMatchObject({ "service.name": "blazard", "k8s.node.name": "node-1" });
  expect(traces.counts).toMatchObject({ exported: receiver.spans.length, dropped: 0, failed: 0 });
});

test("a call without a caller's context begins a trace, one whose caller does not record none", async () => {
  toldStart(new ToldHistory(traces.listener, "a"));
  toldStart(new ToldHistory(traces.listener, "b"), CALLER.replace(/01$/, "00"));
  toldStart(new ToldHistory(traces.listener, "c"), "00-hostile\n");
  await traces.close();
  const sandboxes = new Set(receiver.spans.map(({ attributes }) => attributes["blazar.sandbox.id"]));
  expect([...sandboxes].sort()).toEqual(["a", "c"]);
  expect(receiver.find(CREATE)?.parentSpanId).toBe("");
});

test("what fails is an error with its code; what nothing has caused is a span of its own", async () => {
  const history = new ToldHistory(traces.listener, "a");
  history.end(history.begin({ kind: "effect", name: "adopt", chart: "boot" }), {
    text: "no answer",
    code: "DeadlineExceeded",
  });
  history.transition("sandbox", "vmm.exited", "ready.running", "stopping.vmm.killing");
  await traces.close();
  expect(receiver.find("adopt")).toMatchObject({
    error: "no answer",
    attributes: { "error.type": "DeadlineExceeded", "blazar.chart": "boot" },
  });
  expect(receiver.find("sandbox ready.running → stopping.vmm.killing")).toMatchObject({ parentSpanId: "" });
});

test("what is under way when its sandbox is removed ends with it", async () => {
  const history = new ToldHistory(traces.listener, "a");
  history.begin({ kind: "effect", name: "provision", chart: "sandbox" });
  history.remove();
  await traces.close();
  expect(receiver.find("provision")).toBeDefined();
});

describe("a collector that is", () => {
  it.each<Manner>(["silent", "refuse", "hangUp", "drip", "flood"])(
    "%s costs spans and nothing else",
    async (manner) => {
      receiver.manner = manner;
      const history = new ToldHistory(traces.listener, "a");
      toldStart(history);
      await vi.waitFor(() => expect(traces.counts.failed).toBeGreaterThan(0), { timeout: 4_000 });
      expect(warnings).toEqual(["traces could not be sent"]);
      receiver.manner = "take";
      toldStart(new ToldHistory(traces.listener, "b"));
      await vi.waitFor(() => expect(receiver.find(START)).toBeDefined(), { timeout: 4_000 });
    },
  );

  it("away is dropped to: what waits is bounded", async () => {
    receiver.close();
    const before = performance.now();
    for (let index = 0; index < 1_000; index++) toldStart(new ToldHistory(traces.listener, `s${index}`));
    expect(performance.now() - before).toBeLessThan(2_000);
    expect(traces.counts.dropped).toBeGreaterThan(1_000);
    const closing = performance.now();
    await traces.close();
    expect(performance.now() - closing).toBeLessThan(3_000);
  });
});
