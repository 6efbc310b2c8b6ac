import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { harmlessJson } from "../../../src/lib/harmless.ts";

describe("a line of the log", () => {
  it("has nothing that a terminal obeys, and means the same", () => {
    const lines: string[] = [];
    const hooks = { streamWrite: harmlessJson };
    const log = pino({ base: {}, hooks }, { write: (line: string) => void lines.push(line) });
    const said = "a\u001b[2J\u009b2J\u007f\u202egnp.exe\u2028b\n\ud83d\ude00 \ue000 \u{e0041} ü";
    log.info({ said }, said);
    const [line = ""] = lines;
    expect(line.slice(0, -1)).not.toMatch(/\p{C}|\p{Zl}|\p{Zp}/u);
    expect(line.endsWith("\n")).toBe(true);
    expect(JSON.parse(line)).toMatchObject({ said, msg: said });
    expect(line).toContain("ü");
  });

  it("stays as it is if it is plain", () => {
    const line = '{"level":30,"msg":"ready"}\n';
    expect(harmlessJson(line)).toBe(line);
  });
});
