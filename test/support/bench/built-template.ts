/** One template of a real guest for all tests of a file, in a directory that outlives their benches. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { TemplateBench } from "./template.ts";

/** Built before the first test. The returned function tells its directory from then on. */
export function builtTemplate(): () => string {
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
  return () => template;
}
