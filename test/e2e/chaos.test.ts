/** Three minutes of `npm run test:chaos`: nothing is lost, doubled, left behind or stuck, whatever is killed. */
import { describe, expect, it } from "vitest";
import { runChaos } from "../../lab/chaos/chaos.ts";
import { KILLS } from "../../lab/chaos/record.ts";
import { chaosText } from "../../lab/chaos/report.ts";
import { blazarProgram, built } from "../support/e2e/program.ts";

const MINUTES = Number(process.env["BLAZAR_CHAOS_MINUTES"] ?? 3);
const MINUTE_MS = 60_000;

describe.skipIf(process.getuid?.() !== 0 || built().containerd === null)("chaos", () => {
  it(
    "finds nothing wrong",
    async () => {
      const outcome = await runChaos({
        ...{ built: built(), program: blazarProgram(), minutes: MINUTES, kills: new Set(KILLS) },
        ...{ seed: Math.floor(Math.random() * 2 ** 31), onEvent: () => undefined },
      });
      process.stdout.write(chaosText(outcome));
      expect(outcome.record.findings, chaosText(outcome)).toEqual([]);
      expect(outcome.record.kills.daemon).toBeGreaterThan(0);
      expect(outcome.record.kills.keeper).toBeGreaterThan(0);
    },
    (MINUTES + 6) * MINUTE_MS,
  );
});
