/**
 * The demo where containerd cannot be used: `blazar run` as a real child process, with its streams and exit code.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { blazarError } from "../../src/contracts/errors.ts";
import { runToEnd } from "../host/program.ts";
import { nodeLeftovers } from "../node/leftovers.ts";
import type { Report } from "./report.ts";

const CODE = 7;
const BOOT_ID = "/proc/sys/kernel/random/boot_id";

/** Shows it. @param reason why containerd is not used. @param program the bundled product */
export async function showStandalone(
  reason: string,
  program: string,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  report.set({ mode: "standalone" });
  report.heading("Standalone: a command in a fresh microVM, without containerd");
  report.fact("why not the pod", reason);
  // the run makes every file below this directory: what is left is then found
  const directory = await mkdtemp(join(tmpdir(), "blazar-demo-"));
  try {
    const script = `cat; echo oops >&2; uname -r; cat ${BOOT_ID}; exit ${CODE}`;
    const words = [process.execPath, program, "run", "--", "sh", "-c", script];
    const options = { env: { TMPDIR: directory }, input: "this came from stdin\n", signal };
    const name = `blazar run -- sh -c '${script}'`;
    const { code, stdout, stderr } = await report.step(name, () => runToEnd(words, options));
    report.set({ podStartMs: report.lastMs });
    const [echoed = "", guest = "", guestBoot = ""] = stdout.split("\n");
    const hostBoot = (await readFile(BOOT_ID, "utf8")).trim();
    report.set({ guestKernel: guest, hostKernel: release() });
    report.fact("uname -r on the host", release());
    report.fact("uname -r in the VM", guest);
    report.fact("stdin came back as", echoed);
    report.fact("stderr", stderr.trim());
    report.fact("exit code", String(code));
    const works = code === CODE && echoed === "this came from stdin" && stderr.trim() === "oops";
    // a host may have the very kernel that guests have
    if (!works || guest === "" || guestBoot === "" || guestBoot === hostBoot)
      throw blazarError("Internal", "show the demo", "blazar run did not do its job");
  } finally {
    await rm(directory, { recursive: true, force: true });
    report.leftovers(await nodeLeftovers(directory));
  }
}
