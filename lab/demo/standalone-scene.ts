/**
 * The demo where containerd cannot be used: `blazar run` as a real child process, with its streams and exit code.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { blazarError } from "../../src/contracts/errors.ts";
import { onAbort } from "../../src/lib/async.ts";
import { nodeLeftovers } from "../node/leftovers.ts";
import type { Report } from "./report.ts";

const CODE = 7;

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
    const script = `cat; echo oops >&2; uname -r; exit ${CODE}`;
    const { code, stdout, stderr } = await report.step(`blazar run -- sh -c '${script}'`, () =>
      runBlazar(directory, [program, "run", "--", "sh", "-c", script], "this came from stdin\n", signal),
    );
    report.set({ podStartMs: report.lastMs });
    const [echoed = "", guest = ""] = stdout.split("\n");
    report.set({ guestKernel: guest, hostKernel: release() });
    report.fact("uname -r on the host", release());
    report.fact("uname -r in the VM", guest);
    report.fact("stdin came back as", echoed);
    report.fact("stderr", stderr.trim());
    report.fact("exit code", String(code));
    const works = code === CODE && echoed === "this came from stdin" && stderr.trim() === "oops";
    if (!works || guest === "" || guest === release())
      throw blazarError("Internal", "show the demo", "blazar run did not do its job");
  } finally {
    await rm(directory, { recursive: true, force: true });
    report.leftovers(await nodeLeftovers(directory));
  }
}

async function runBlazar(
  directory: string,
  args: readonly string[],
  input: string,
  signal: AbortSignal,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, args, {
    stdio: "pipe",
    env: { ...process.env, TMPDIR: directory },
  });
  const forget = onAbort(signal, () => child.kill("SIGTERM"));
  const collect = (stream: NodeJS.ReadableStream): (() => string) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    return () => Buffer.concat(chunks).toString();
  };
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  child.stdin.end(input);
  const [code] = await once(child, "close");
  forget();
  return { code: Number(code), stdout: stdout(), stderr: stderr() };
}
