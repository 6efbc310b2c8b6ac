/**
 * Nodes full of pods: one with a pod in each state that matters, and one with as many pods as asked for.
 */
import { FakeInspection } from "./inspection.ts";
import type { PodPlan } from "./lives.ts";
import { seeded } from "./random.ts";

/** Names and words of a guest that wants to do harm to whoever shows them. */
export const HOSTILE_NAME = "evil\u001b[2J\u001b]0;owned\u0007<img src=x onerror=alert(1)>\nroot";
export const HOSTILE_WORDS = `\u001b[31m\u009b1A</td><script>alert(1)</script>\r\n\u202eevil ${"A".repeat(900)}`;

const OF = { namespace: "default", containers: 1, path: "pool" } as const;

/** In the order in which they are started. */
const SCENES: readonly PodPlan[] = [
  { ...OF, name: "ended-well", containers: 2, stopAfter: 4_000 },
  { ...OF, name: "killed", path: "fork", diesAfter: 6_000 },
  { ...OF, name: "never-was", path: "clone", fail: "creating" },
  { ...OF, name: "no-agent", path: "boot", fail: "booting.awaitingAgent.listening" },
  { ...OF, name: "web", namespace: "shop", containers: 3 },
  { ...OF, name: "db", namespace: "shop", path: "clone", fallbacks: ["fork"], containers: 1 },
  { ...OF, name: "cold", path: "boot", fallbacks: ["pool", "fork", "clone"], slowness: 4 },
  { ...OF, name: "paused", halt: "ready.paused" },
  { ...OF, name: HOSTILE_NAME, namespace: "evil", guestWords: HOSTILE_WORDS },
  { ...OF, name: "stops-containers", stopAfter: 500, halt: "stopping.containers.killing" },
  { ...OF, name: "stops-guest", stopAfter: 500, halt: "stopping.guest.shuttingDown" },
  { ...OF, name: "stops-vmm", stopAfter: 500, halt: "stopping.vmm.killing", stuck: true },
  { ...OF, name: "stops-network", stopAfter: 500, halt: "stopping.network" },
  { ...OF, name: "stops-storage", stopAfter: 500, halt: "stopping.storage" },
  { ...OF, name: "creating", halt: "creating" },
  { ...OF, name: "created", halt: "created" },
  { ...OF, name: "queued", halt: "booting.queued" },
  { ...OF, name: "adopting", halt: "booting.adopting", stuck: true },
  { ...OF, name: "forking", path: "fork", halt: "booting.forking" },
  { ...OF, name: "cloning", path: "clone", halt: "booting.cloning" },
  { ...OF, name: "booting", path: "boot", halt: "booting.booting" },
  { ...OF, name: "awaiting-agent", path: "boot", halt: "booting.awaitingAgent.listening", stuck: true },
  { ...OF, name: "setting-up", path: "fork", halt: "booting.settingUp" },
  { ...OF, name: "container-comes", halt: "container.creating" },
  { ...OF, name: "process-comes", halt: "process.starting" },
];

/** A node with a pod in each state that matters. */
export function populatedInspection(): FakeInspection {
  const inspection = new FakeInspection();
  inspection.shortages = ["the host is short of memory: tasks stalled 12 % of the last 10 s"];
  for (const plan of SCENES) {
    inspection.startPod(plan);
    inspection.advance(700);
  }
  inspection.advance(2_000);
  return inspection;
}

const PATHS = ["pool", "pool", "pool", "fork", "fork", "clone", "boot"] as const;
const HALTS = ["booting.adopting", "booting.awaitingAgent.listening", "stopping.storage"] as const;

/** A node with so many pods, a few of them in trouble. */
export function crowdedInspection(count: number): FakeInspection {
  const inspection = new FakeInspection();
  const random = seeded(`crowd of ${count}`);
  const one = <Item>(items: readonly Item[]): Item | undefined => items[Math.floor(random() * items.length)];
  for (let index = 0; index < count; index++) {
    const halt = random() < 0.03 ? one(HALTS) : undefined;
    inspection.startPod({
      ...{ name: `pod-${index}`, namespace: `team-${index % 7}`, path: one(PATHS) ?? "pool" },
      containers: 1 + Math.floor(random() * 3),
      slowness: 0.8 + random(),
      ...(halt === undefined ? {} : { halt, stuck: random() < 0.5 }),
      ...(halt === "stopping.storage" || random() < 0.1 ? { stopAfter: 2_000 } : {}),
    });
    inspection.advance(40);
  }
  inspection.advance(5_000);
  return inspection;
}
