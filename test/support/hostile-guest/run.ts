/**
 * A guest that attacks its share: QEMU as the driver starts it, with test/support/hostile-guest as its only program.
 *
 * The program drives the 9p device itself, so that no well-behaved kernel stands between it and the host. The layer that
 * it attacks is made here; the test mounts it into the share.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { writeCpio } from "../../../guest/image/cpio.ts";
import { commandLine } from "../../../src/vmm/qemu/command-line.ts";
import { vmPaths } from "../../../src/vmm/qemu/paths.ts";
import { emulation } from "../../../src/vmm/qemu/tcg/emulation.ts";
import { type CheckResult, parseChecks } from "../fs-semantics/run.ts";

const SOURCES = fileURLToPath(new URL(".", import.meta.url));
const SECRET = "CANARY\n";
const BOOT_SECONDS = 90;

/** Compiles the program into an initramfs of its own; the image's path. */
export async function buildHostileInitramfs(directory: string): Promise<string> {
  const names = (await readdir(SOURCES)).filter((name) => name.endsWith(".c"));
  const init = path.join(directory, "init");
  const flags = ["-std=gnu11", "-static", "-O1", "-Wall", "-Wextra", "-Werror"];
  await promisify(execFile)("musl-gcc", [
    ...flags,
    "-o",
    init,
    ...names.map((name) => path.join(SOURCES, name)),
  ]);
  const initramfs = path.join(directory, "hostile.cpio");
  await writeFile(
    initramfs,
    writeCpio([
      { type: "directory", path: "dev", mode: 0o755 },
      // the kernel opens it for /init before that can mount anything
      { type: "characterDevice", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
      { type: "file", path: "init", mode: 0o755, data: await readFile(init) },
    ]),
  );
  return initramfs;
}

/**
 * Makes `<base>/layer` with everything that leads out, `<base>/canary` and `<base>/other/secret` that must not be
 * read, and an empty `<base>/share`. Needs root, for a device.
 */
export async function makeHostileShare(base: string): Promise<{ layer: string; share: string }> {
  const [layer, share] = [path.join(base, "layer"), path.join(base, "share")];
  await mkdir(path.join(layer, "directory/inner"), { recursive: true });
  await mkdir(path.join(base, "other"));
  await mkdir(share);
  await writeFile(path.join(base, "canary"), SECRET);
  await writeFile(path.join(base, "other/secret"), SECRET);
  await writeFile(path.join(layer, "file"), "inside\n");
  await symlink(path.join(base, "canary"), path.join(layer, "absolute"));
  // layers are mounted at share/c1/rootfs
  await symlink("../../..", path.join(layer, "climbing"));
  execFileSync("mknod", [path.join(layer, "fifo"), "p"]);
  execFileSync("mknod", [path.join(layer, "device"), "c", "1", "5"]);
  return { layer, share };
}

/** Boots it on a share and returns what it reports. Ends the VM in any case. */
export async function runHostileGuest(options: {
  readonly directory: string;
  readonly share: string;
  readonly vmlinux: string;
  readonly initramfs: string;
}): Promise<CheckResult[]> {
  const { directory, share, vmlinux, initramfs } = options;
  const log = path.join(directory, "console.log");
  const [binary = "", ...args] = commandLine({
    binary: "qemu-system-x86_64",
    spec: {
      id: "hostile",
      directory,
      vcpus: 1,
      memoryBytes: 128 << 20,
      shareDirectory: share,
      user: undefined,
      cgroups: [],
      source: { kind: "boot" },
    },
    paths: vmPaths(directory),
    accelerator: emulation(await tscKhz()),
    kernel: vmlinux,
    initramfs,
  });
  // its output by file, not by QMP; registers by /dev/mem; and no pause at the end
  const changed = args.map((arg, index) => {
    if (arg.startsWith("ringbuf,id=console")) return `file,id=console,path=${log}`;
    if (args[index - 1] === "-append") return `${arg} iomem=relaxed`;
    return args[index - 1] === "-action" ? "reboot=shutdown,shutdown=poweroff,panic=exit-failure" : arg;
  });
  const vmm = spawn(binary, changed, { stdio: ["ignore", "ignore", "pipe"] });
  const stderr = collect(vmm);
  const deadline = AbortSignal.timeout(BOOT_SECONDS * 1000);
  try {
    await once(vmm, "exit", { signal: deadline });
  } finally {
    vmm.kill("SIGKILL");
  }
  const lines = (await readFile(log, "utf8")).split(/\r?\n/);
  if (!lines.includes("done"))
    throw new Error(`the guest did not come to its end: ${lines.slice(-10).join("\n")}\n${stderr()}`);
  return parseChecks(lines.filter((line) => line.startsWith("{")).join("\n"));
}

function collect(vmm: ChildProcess): () => string {
  let text = "";
  vmm.stderr?.on("data", (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-4000);
  });
  return () => text;
}

async function tscKhz(): Promise<number | undefined> {
  const mhz = /^cpu MHz\s*:\s*([\d.]+)/m.exec(await readFile("/proc/cpuinfo", "utf8"))?.[1];
  return mhz === undefined ? undefined : Math.round(Number(mhz) * 1000);
}
