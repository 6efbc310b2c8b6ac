/**
 * `npm run test:package`: the package, built, linted, and installed on a Debian 13 with systemd in an emulated host.
 *
 * The emulated host runs the lines of docs/install.md and more (lab/package/scenario.ts); vitest then says what must have come
 * of each step, and holds the manifests of deploy/kubernetes to Kubernetes' schemas.
 */
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { readHostRequest } from "../lab/emulated-host/arguments.ts";
import { runInHost } from "../lab/emulated-host/host.ts";
import { OUTPUT_AT } from "../lab/emulated-host/job.ts";
import { hostParts } from "../lab/emulated-host/parts.ts";
import { busyboxImage } from "../lab/images/busybox.ts";
import { writeImage } from "../lab/images/image-builder.ts";
import { DEBIAN_13 } from "../lab/package/debian.ts";
import { installLines, type Material, scenarioScript, steps } from "../lab/package/scenario.ts";
import { passThrough } from "./lib/command.ts";
import { command } from "./lib/entry.ts";
import { needRoot } from "./lib/own-namespaces.ts";
import { cacheDirectory, distDirectory, nodeBin, repoRoot } from "./lib/paths.ts";
import { type Progress, streamProgress } from "./lib/progress.ts";
import { makePackages } from "./package/packages.ts";
import { readRelease } from "./package/release.ts";
import { type Artifacts, ensureArtifacts } from "./steps/artifacts.ts";
import { criTool } from "./tools/cri-tools.ts";
import { lint } from "./tools/lintian.ts";

const HELP = `usage: npm run test:package [-- --results]

Builds the package twice and a newer one once, lints it with lintian if that can be had from Debian, and boots an emulated
Debian 13 with systemd and KVM. There it runs each line of docs/install.md, restarts containerd and blazar under the pod,
upgrades, removes and purges, and installs the tarball.

  --results  build and boot nothing: test what the last run has left in dist/package-test

Needs root, 8 GiB of memory, Go or a Debian mirror with it and a Go module proxy for crictl; for the first run 300 MB of
Debian packages.
`;
const NEWER = "0.1.1~test";
const SECOND = "second";
const IMAGE = "docker.io/library/busybox:latest";

await command(async () => {
  const [option] = process.argv.slice(2);
  if (option === "--help") process.stdout.write(HELP);
  if (option === "--help") return 0;
  const results = path.join(distDirectory(), "package-test");
  let status = 0;
  if (option !== "--results") {
    needRoot("test the package");
    const progress = streamProgress();
    const built = await ensureArtifacts(progress);
    await rm(results, { recursive: true, force: true });
    await mkdir(path.join(results, "steps"), { recursive: true });
    status = await tryPackage(await build(results, built, progress), results, built, progress);
  }
  const vitest = [nodeBin("vitest"), "run", "--project", "package"];
  const env = { ...process.env, BLAZAR_PACKAGE_RESULTS: results };
  const tested = await passThrough(process.execPath, vitest, { cwd: repoRoot(), env });
  return status === 0 ? tested : status;
});

async function build(results: string, built: Artifacts, progress: Progress): Promise<Material> {
  const release = await readRelease();
  const first = await makePackages(results, release, built, progress);
  await makePackages(path.join(results, SECOND), release, built, progress);
  const newer = await makePackages(results, await readRelease(NEWER), built, progress);
  await writeFile(path.join(results, "lintian.txt"), await lint(first.deb, progress));
  const image = path.join(results, "busybox.tar");
  await writeImage(image, await busyboxImage(IMAGE, built.busybox));
  const crictl = path.join(results, "crictl");
  await cp(await criTool("crictl", progress), crictl);
  return { ...first, newerDeb: newer.deb, newerVersion: NEWER, image, crictl };
}

async function tryPackage(
  material: Material,
  results: string,
  built: Artifacts,
  progress: Progress,
): Promise<number> {
  const page = await readFile(path.join(repoRoot(), "docs", "install.md"), "utf8");
  const script = path.join(results, "scenario.sh");
  await writeFile(script, scenarioScript(steps(installLines(page), material), repoRoot(), cacheDirectory()));
  const request = readHostRequest({ systemd: true, output: path.join(results, "steps") }, [
    "bash",
    script,
    OUTPUT_AT,
  ]);
  return runInHost(request, await hostParts(built, "systemd", progress, DEBIAN_13));
}
