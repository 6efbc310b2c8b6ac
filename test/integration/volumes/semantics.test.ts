/** What a shared volume promises to programs in a real guest; docs/storage.md lists what it does not. */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { QemuBench } from "../../support/bench/qemu.ts";
import { RunningGuest } from "../../support/bench/running-guest.ts";
import { buildFsSemantics, parseChecks } from "../../support/fs-semantics/run.ts";
import { containerCreate, sandboxSetup } from "../../support/guest-requests.ts";

const PAGE = "docs/storage.md";
const VOLUME = { type: "shared", source: "v", destination: "/v", options: ["rbind", "rw"] };

/** The names in the first column of the table of limits. */
function listed(page: string): string[] {
  const [, table = ""] =
    /<!-- limits of volumes: begin -->\n([\s\S]*)<!-- limits of volumes: end -->/.exec(page) ?? [];
  return [...table.matchAll(/^\| `([^`]+)`/gm)].map(([, name = ""]) => name);
}

describe("a shared volume", () => {
  let bench: QemuBench;
  let guest: RunningGuest;
  let directory: string;

  beforeAll(async () => {
    bench = await QemuBench.start();
    const spec = await bench.spec("vm");
    const vm = await bench.driver.launch(spec);
    guest = await RunningGuest.of(vm);
    await guest.ask("sandbox.setup", sandboxSetup());
    const { share } = await bench.serve(vm, spec, "volumes");
    directory = join(share, "v");
    await mkdir(directory);
    await guest.ask("share.mount", { share: "volumes" });
  }, 120_000);
  afterAll(() => bench.dispose());

  async function inContainer(script: string): Promise<number> {
    const { mounts } = containerCreate("c", []);
    return guest.run("c", ["sh", "-c", script], { mounts: [...mounts, VOLUME] });
  }

  it("keeps every promise to programs but those that docs/storage.md lists", async () => {
    await buildFsSemantics(directory);
    await mkdir(join(directory, "work"));
    expect(await inContainer("/v/fs-semantics /v/work > /v/report 2> /v/errors")).toBe(0);
    const checks = parseChecks(await readFile(join(directory, "report"), "utf8"));
    expect(checks.length).toBeGreaterThan(95);
    const failed = checks.filter(({ ok }) => !ok);
    const limits = listed(await readFile(PAGE, "utf8"));
    expect(failed.filter(({ name }) => !limits.includes(name))).toEqual([]);
    expect(failed.map(({ name }) => name).sort()).toEqual(limits.sort());
  }, 300_000);
});
