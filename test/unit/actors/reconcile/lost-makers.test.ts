/** What a dead daemon was making of templates and images: it is ended before anybody looks at the host. */
import { describe, expect, it } from "vitest";
import { endLostMakers } from "../../../../src/actors/reconcile/lost-makers.ts";
import type { ResourcePorts } from "../../../../src/actors/resources/kinds/kind.ts";
import { blazarError } from "../../../../src/contracts/errors.ts";
import { CapturedLogger } from "../../../support/captured-logger.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";

const STARTED = 500;

function host(processes: Readonly<Record<string, number>>, stuck?: string) {
  const done: string[] = [];
  const ports: ResourcePorts = {
    ...new MemoryHost().ports,
    keeper: {
      ...new MemoryHost().ports.keeper,
      inventory: () => ({
        processes: Object.entries(processes).map(([id, startTime]) => ({
          id,
          identity: { pid: 2 ** 22 + startTime, startTime },
          state: "running" as const,
        })),
        stdio: [],
      }),
      signal: async (id, signal) => void done.push(`signal ${id} ${signal}`),
      exited: async (id) => ({ id, code: -1, signal: 9 }),
      forget: async (id) => void done.push(`forget ${id}`),
    },
    files: {
      removeTree: async (path) => {
        if (path === `/tmp/${stuck}`) throw blazarError("StorageFailed", "remove a directory", "no");
        done.push(`rm ${path}`);
      },
      removeFile: async () => undefined,
    },
  };
  const logger = new CapturedLogger();
  const end = () => endLostMakers(ports, { startTime: STARTED, temporary: "/tmp" }, logger);
  return { done, logger, end };
}

describe("what a dead daemon was making", () => {
  it("is ended with its directory; what this daemon makes, and what a journal names, is left alone", async () => {
    const { done, end } = host({
      "blazar-template-AbC123": 400,
      "blazar-probe-AbC123": 401,
      "image-0123456789ab": 402,
      "blazar-template-DeF456": 600,
      "some-pod": 300,
      "blazar-template-../../etc": 300,
    });
    await end();
    const ended = ["blazar-template-AbC123", "blazar-probe-AbC123", "image-0123456789ab"];
    expect(done.filter((each) => each.startsWith("signal"))).toEqual(ended.map((id) => `signal ${id} 9`));
    expect(done.filter((each) => each.startsWith("rm")).sort()).toEqual([
      "rm /tmp/blazar-probe-AbC123",
      "rm /tmp/blazar-template-AbC123",
    ]);
  });

  it("keeps no daemon from starting if it cannot be ended", async () => {
    const { done, logger, end } = host(
      { "blazar-template-AbC123": 400, "blazar-template-DeF456": 400 },
      "blazar-template-AbC123",
    );
    await end();
    expect(done).toContain("rm /tmp/blazar-template-DeF456");
    expect(done).not.toContain("rm /tmp/blazar-template-AbC123");
    expect(logger.lines.filter(({ level }) => level === "warn")).toMatchObject([
      { fields: { process: "blazar-template-AbC123" } },
    ]);
  });
});
