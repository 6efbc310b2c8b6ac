/**
 * Step: the Debian packages that must be installed, because their programs run in place.
 *
 * A package counts as installed if its files are there; apt and dpkg are not asked. So a second run costs nothing, and
 * programs from elsewhere will do. Must install nothing that could be unpacked into the cache instead.
 */
import { existsSync } from "node:fs";
import { delimiter } from "node:path";
import { type BlazarError, blazarError } from "../../src/contracts/errors.ts";
import { run } from "../lib/command.ts";
import type { Progress } from "../lib/progress.ts";
import type { Step } from "./steps.ts";

interface DebianPackage {
  readonly name: string;
  readonly why: string;
  /** A program in PATH or an absolute file that shows it is there. */
  readonly proof: string;
  /** Only the containerd path needs it; `blazar run` goes without. */
  readonly optional?: true;
}

/** What is installed and why. */
const PACKAGES: readonly DebianPackage[] = [
  { name: "qemu-system-x86", why: "the VMM", proof: "qemu-system-x86_64" },
  { name: "gcc", why: "compiles the native runtime", proof: "gcc" },
  { name: "libc6-dev", why: "headers for gcc", proof: "/usr/include/stdlib.h" },
  {
    name: "linux-libc-dev",
    why: "kernel headers for the system calls",
    proof: "/usr/include/linux/version.h",
  },
  { name: "musl-tools", why: "static binaries of agent and keeper", proof: "musl-gcc" },
  { name: "musl-dev", why: "the C library of these", proof: "/usr/include/x86_64-linux-musl/stdlib.h" },
  { name: "xz-utils", why: "unpacks the kernel image", proof: "xz" },
  { name: "e2fsprogs", why: "makes the empty writable layer", proof: "mkfs.ext4" },
  { name: "runc", why: "containerd's own handler, for comparison", proof: "runc", optional: true },
  {
    name: "containernetworking-plugins",
    why: "pod networks under containerd",
    proof: "/usr/lib/cni/host-local",
    optional: true,
  },
  { name: "iproute2", why: "networks of tests", proof: "ip", optional: true },
  { name: "nftables", why: "anti-spoofing of CNI's bridge in tests", proof: "nft", optional: true },
];

/** Directories that a plain user's PATH may lack. */
const SYSTEM_PATH = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/** Finds a program as the shell would, with the system directories added. */
export function findProgram(name: string): string | undefined {
  const directories = [...(process.env["PATH"] ?? "").split(delimiter), ...SYSTEM_PATH];
  return directories.map((directory) => `${directory}/${name}`).find((file) => existsSync(file));
}

function present(item: DebianPackage): boolean {
  return item.proof.startsWith("/") ? existsSync(item.proof) : findProgram(item.proof) !== undefined;
}

/** The step; yields the names of optional packages that a plain user has to do without. */
export function packagesStep(isRoot: boolean): Step<readonly string[]> {
  const missing = PACKAGES.filter((item) => !present(item));
  const optional = missing.filter((item) => item.optional === true).map((item) => item.name);
  const needed = missing.filter((item) => item.optional !== true);
  const list = missing.map((item) => `${item.name} (${item.why})`).join(", ");
  return {
    name: "Debian packages",
    why: `installs ${list}`,
    upToDate: async () => (missing.length === 0 || (!isRoot && needed.length === 0) ? optional : undefined),
    run: async (progress) => {
      if (!isRoot) throw notRoot(missing.map((item) => item.name));
      await install(
        missing.map((item) => item.name),
        progress,
      );
      const still = missing.filter((item) => !present(item));
      if (still.length > 0) throw notThere(still);
      return [];
    },
  };
}

async function install(names: readonly string[], progress: Progress): Promise<void> {
  const env = { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" };
  const lock = ["-o", "DPkg::Lock::Timeout=300"];
  const remedy = `check the machine's apt sources and network; by hand: apt-get update && apt-get install ${names.join(" ")}`;
  progress.line("  apt-get update");
  await run("apt-get", ["update", "-q", ...lock], { env, remedy });
  progress.line(`  apt-get install --no-install-recommends ${names.join(" ")}`);
  await run("apt-get", ["install", "-q", "-y", "--no-install-recommends", ...lock, ...names], {
    env,
    remedy,
  });
}

function notRoot(names: readonly string[]): BlazarError {
  return blazarError("PermissionDenied", "install", "packages are missing and this is not root", {
    subject: names.join(" "),
    remedy: `as root: apt-get update && apt-get install --no-install-recommends ${names.join(" ")}`,
  });
}

function notThere(items: readonly DebianPackage[]): BlazarError {
  return blazarError(
    "DependencyMissing",
    "find after the installation",
    `apt installed ${items.map((item) => item.name).join(", ")} without error, but it is not there`,
    {
      subject: items.map((item) => item.proof).join(", "),
      remedy: "check that this is Debian 12 or newer on amd64",
    },
  );
}
