/** Sources of the daemon's metrics, for tests: a node with two pods, and every part with a figure. */
import type { NodeStatus, SandboxSummary } from "../../../src/contracts/inspection.ts";
import { Metrics } from "../../../src/observe/metrics/metrics.ts";
import type { PartFigures } from "../../../src/observe/metrics/parts.ts";

export function fakeSummary(id: string, more: Partial<SandboxSummary> = {}): SandboxSummary {
  return {
    id,
    pod: { name: `pod-${id}`, namespace: "default", uid: `uid-${id}`, attempt: 0 },
    phase: "ready",
    state: "ready.running",
    since: 0,
    createdAt: 0,
    path: "pool",
    pid: 0,
    vcpus: 1,
    memoryBytes: 2 ** 28,
    containers: 1,
    ...more,
  };
}

export const FAKE_NODE: NodeStatus = {
  version: "1.2.3",
  pid: 1,
  startedAt: 0,
  now: 0,
  vmm: "qemu",
  acceleration: "tcg",
  kvm: { state: "absent", reason: "there is no /dev/kvm", remedy: "load kvm_intel" },
  phases: {},
  stuck: 1,
  starts: {},
  startsLastMinute: 0,
  steps: [],
  pool: { warm: 2, wanted: 3 },
  shortages: [],
  troubles: [],
  memoryBytes: 0,
};

export const FAKE_PARTS: PartFigures = {
  originalReady: true,
  turns: {
    starts: { running: 1, queued: 4 },
    guests: { running: 0, queued: 0 },
    provisions: { running: 0, queued: 0 },
  },
  workers: { rootfs: { running: 1, queued: 2, started: 1 } },
  guestLinks: { received: 10, sent: 20, heldMs: new Map([["a", 1_500]]) },
  keeper: { connected: true, linkLosses: 0, deaths: 0, processes: 2, residentBytes: 2_000_000 },
  watchers: 1,
  stuck: 2,
  reconcile: { open: 1, done: new Map([["directory", 2]]), failed: new Map([["mount", 1]]) },
  images: { count: 3, bytes: 4_000 },
  templates: { count: 1, bytes: 5_000 },
  spans: { exported: 1, dropped: 0, failed: 0 },
};

/** Metrics over these; what the summaries say may change between scrapes. */
export function fakeMetrics(
  summaries: () => readonly SandboxSummary[],
  mostPods = 100,
  node: () => NodeStatus = () => FAKE_NODE,
): Metrics {
  const inspection = { node, list: () => [...summaries()] };
  const failureOf = (id: string) => summaries().find((each) => each.id === id)?.failure?.code;
  return new Metrics({ inspection, parts: () => FAKE_PARTS, mostPods, failureOf });
}
