/** Clones and forks of real guests against the promises of the ports; clones are VMs like all others, too. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { EXPECTED } from "../../support/bench/qemu.ts";
import { TemplateBench } from "../../support/bench/template.ts";
import { cloneConformance } from "../../support/conformance/clones.ts";
import { vmmConformance } from "../../support/conformance/vmm.ts";

let template = "";

beforeAll(async () => {
  template = await mkdtemp(join(tmpdir(), "blazar-template-"));
  const bench = await TemplateBench.start();
  try {
    await bench.build(template);
  } finally {
    await bench.dispose();
  }
});

afterAll(() => rm(template, { recursive: true, force: true }));

vmmConformance("qemu, clones", async () => (await TemplateBench.start()).conformance(template));
cloneConformance("qemu", async () => (await TemplateBench.start()).cloning(template), EXPECTED === "tcg");
