/**
 * `blazar bundle`: writes a tar with all that a report of a bug needs of one sandbox.
 */
import { readFile } from "node:fs/promises";
import { find } from "../../console/asked.ts";
import { bundleFiles, bundleName, tarOf } from "../../console/bundle/bundle.ts";
import { reasonOf } from "../../contracts/errors.ts";
import { misuse } from "../../contracts/misuse.ts";
import { loadConfig } from "../../daemon/config/load.ts";
import type { DaemonOptions } from "../daemon-socket.ts";
import { examine } from "../examine.ts";
import { writeOutput } from "../output-file.ts";
import { withDaemon } from "./session.ts";

export interface BundleOptions extends DaemonOptions {
  /** The file; `-` is standard output. */
  readonly file?: string;
}

/** Returns the exit code. */
export async function bundle(word: string, options: BundleOptions, version: string): Promise<number> {
  if (options.file === "-" && process.stdout.isTTY) {
    const about = { subject: "--file -", remedy: "redirect standard output, or name a file" };
    throw misuse("a terminal cannot show a tar", about);
  }
  await withDaemon(options, async (daemon) => {
    const now = Date.now();
    const summary = await find(daemon, word);
    const extras = {
      now,
      versions: await versions(version),
      config: await loadConfig(options.config).catch((error: unknown) => ({ error: reasonOf(error) })),
      findings: await examine(options),
    };
    const name = bundleName({ summary });
    const tar = await tarOf(name, await bundleFiles(daemon, summary.id, extras), now);
    if (options.file === "-") {
      process.stdout.write(tar);
      return;
    }
    const file = options.file ?? `${name}.tar`;
    await writeOutput(file, tar, "write the bundle");
    process.stdout.write(`${file}\n`);
  });
  return 0;
}

async function versions(blazar: string): Promise<Record<string, string>> {
  const kernel = await readFile("/proc/sys/kernel/osrelease", "utf8").catch(() => "");
  return { blazar, node: process.versions.node, kernel: kernel.trim() };
}
