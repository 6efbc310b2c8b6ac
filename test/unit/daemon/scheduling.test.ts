import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { raiseSchedulingWeight } from "../../../src/daemon/tuning/scheduling.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const leads = async () => true;

describe("the daemon's scheduling weight", () => {
  it("is raised by the autogroup of its session", async () => {
    const file = join(await temporaryDirectory(), "autogroup");
    await writeFile(file, "");
    await raiseSchedulingWeight({ debug: () => undefined }, file, leads);
    expect(await readFile(file, "utf8")).toBe("-20");
  });

  it("stays where the session is another's, a shell's for example: everything in it would be raised", async () => {
    const file = join(await temporaryDirectory(), "autogroup");
    await writeFile(file, "");
    // the workers of vitest are in the session of whoever runs it
    await raiseSchedulingWeight({ debug: () => undefined }, file);
    expect(await readFile(file, "utf8")).toBe("");
  });

  it("stays where there are no autogroups, with a line in the log", async () => {
    const file = join(await temporaryDirectory(), "directory");
    await mkdir(file);
    const lines: unknown[] = [];
    await raiseSchedulingWeight({ debug: (details: unknown) => void lines.push(details) }, file, leads);
    expect(lines).toHaveLength(1);
  });
});
