/**
 * The daemon's inspection over actors on a host in memory.
 */
import { SandboxLooks } from "../../../../src/actors/sandbox/looks.ts";
import { DaemonInspection } from "../../../../src/observe/inspection/daemon-inspection.ts";
import { type HostLooks, Shortages } from "../../../../src/observe/inspection/shortages.ts";
import type { FakeVmmOptions } from "../../../support/fake-vmm/driver.ts";
import { node } from "../history/life.ts";

/** A host that is short of nothing, and whose files a test may change. */
export class CalmHost implements HostLooks {
  readonly files = new Map<string, string>();
  free = 1e12;
  freeFiles = 1e6;

  read(path: string): string | undefined {
    return this.files.get(path);
  }

  async space() {
    return { bytes: 2e12, free: this.free, files: 2e6, freeFiles: this.freeFiles };
  }
}

export function world(options: FakeVmmOptions = {}) {
  const pods = node(options);
  const host = new CalmHost();
  const hub = pods.histories;
  const troubles = new Map<number, string>();
  const processTrouble = async (pid: number) => troubles.get(pid);
  const parts = { troubles: [] as string[], look: async () => undefined };
  const inspection = new DaemonInspection({
    hub,
    parts,
    shortages: new Shortages({ "daemon.state_directory": "/state" }, () => Date.now(), host),
    looks: new SandboxLooks(pods.sandboxes, { now: Date.now, processTrouble }),
    daemon: () => ({
      ...{ version: "0.1.0", startedAt: 1, vmm: "fake", acceleration: "tcg", kvm: undefined },
      pool: { warm: 0, wanted: 0 },
    }),
    processTrouble,
    ...{ stuckFactor: 5, stuckLeastMs: 10_000, logger: pods.memory.logger },
  });
  return { ...pods, host, hub, inspection, troubles, parts };
}
