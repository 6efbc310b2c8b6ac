import { expect, it } from "vitest";
import { LineLog } from "../../../src/standalone/logs/line-log.ts";

it("tells a person of warnings and errors in plain text, and of nothing else", () => {
  const lines: string[] = [];
  const log = new LineLog((line) => lines.push(line)).child();
  log.debug({}, "why");
  log.info({}, "ready");
  log.warn({ reason: "slow" }, "no KVM");
  log.error({ err: new Error("gone") }, "no keeper");
  expect(lines).toEqual(["blazar: no KVM\n", "blazar: no keeper: gone\n"]);
});
