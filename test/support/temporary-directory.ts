/** Directories for tests: made under the system's temporary directory, gone when the test is over. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** A fresh directory that is removed at the end of the test that asked for it. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "blazar-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
