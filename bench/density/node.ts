/**
 * The daemon of a density run and the files that containerd would make for its pods, in one directory.
 *
 * The daemon is bench/density-daemon.ts, bundled beside the product because it uses the product's workers. It runs on
 * its own copy of the Node binary. {@link DensityNode.stop} leaves nothing behind.
 */
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { answersAt, Daemon, drainBlazard } from "../../lab/host/daemon.ts";
import { mountMemory, unmountBelow } from "../../lab/host/mounts.ts";
import { killProcessesOf, processesOf } from "../../lab/host/processes.ts";
import { runProgram } from "../../lab/host/program.ts";
import { toml } from "../../lab/node/blazard-config.ts";
import { runtimeOfBlazard } from "../../lab/node/unit-runtime.ts";
import { bundleOptions } from "../../setup/lib/dist.ts";
import { distDirectory, repoRoot } from "../../setup/lib/paths.ts";
import { criSpec } from "../../test/support/cri-spec.ts";
import { Caller, type ContainerFiles, takeEvents } from "./caller.ts";

const READY_TIMEOUT_MS = 30_000;
/** A thousand sandboxes are ended first. */
const STOP_TIMEOUT_MS = 300_000;
const PROGRAM = "density-daemon";

export class DensityNode {
  private constructor(
    private readonly directory: string,
    private readonly daemon: Daemon,
    private readonly caller: Caller,
    private readonly events: { close(): void },
  ) {}

  /** @param sections more of the daemon's configuration */
  static async start(sections: Parameters<typeof toml>[0] = {}): Promise<DensityNode> {
    const directory = await mkdtemp(join(tmpdir(), "blazar-density-"));
    try {
      await chmod(directory, 0o711);
      const state = join(directory, "state");
      if (process.getuid?.() === 0) await mountMemory(state);
      const socket = join(state, "blazar.sock");
      const eventSocket = join(directory, "events.sock");
      const events = await takeEvents(eventSocket);
      const config = join(directory, "blazar.toml");
      await writeFile(
        config,
        toml({
          daemon: { state_directory: state, containerd_socket: eventSocket },
          storage: { scratch_directory: join(directory, "scratch") },
          // the fake driver's taps cannot be joined to a network
          network: { host: "none" },
          ...sections,
        }),
      );
      await makeImage(directory);
      const { program, args, env } = await runtimeOfBlazard(directory);
      const daemon = await Daemon.start({
        name: PROGRAM,
        program,
        args: [...args, await bundleDaemon(), config],
        env: { ...process.env, ...env },
        logFile: join(directory, "daemon.log"),
        ready: () => answersAt(socket),
        readyTimeoutMs: READY_TIMEOUT_MS,
        stopTimeoutMs: STOP_TIMEOUT_MS,
      });
      const caller = new Caller(socket, join(state, "task.sock"));
      return new DensityNode(directory, daemon, caller, events);
    } catch (error) {
      await clear(directory);
      throw error;
    }
  }

  get pid(): number {
    return this.daemon.pid;
  }

  /** The keeper's pid; 0 if it is gone. */
  async keeperPid(): Promise<number> {
    const found = await processesOf([join(this.directory, "state", "keeper.sock")]);
    return found[0]?.pid ?? 0;
  }

  /** Makes the files that containerd has for each container before it calls; no part of any figure. */
  async prepare(ids: readonly string[]): Promise<void> {
    const fifos: string[] = [];
    for (const id of ids) {
      const { bundle, stdout, stderr, overlay } = this.filesOf(id);
      await mkdir(bundle, { recursive: true });
      await writeFile(join(bundle, "config.json"), JSON.stringify(specOf(id)));
      await writeFile(join(bundle, "sandbox"), id);
      for (const option of overlay.slice(1, 3)) await mkdir(option.slice(option.indexOf("=") + 1));
      fifos.push(stdout, stderr);
    }
    await runProgram("mkfifo", fifos);
  }

  /** Brings up a pod that was prepared. */
  startPod(id: string): Promise<void> {
    return this.caller.startPod(id, this.filesOf(id));
  }

  async stop(): Promise<void> {
    this.caller.close();
    await drainBlazard(join(this.directory, "state", "inspection.sock"), STOP_TIMEOUT_MS);
    await this.daemon.stop();
    this.events.close();
    await clear(this.directory);
  }

  private filesOf(id: string): ContainerFiles {
    const directory = join(this.directory, "containers", id);
    return {
      bundle: join(directory, "bundle"),
      stdout: join(directory, "bundle", "stdout"),
      stderr: join(directory, "bundle", "stderr"),
      overlay: [
        "index=off",
        `workdir=${join(directory, "work")}`,
        `upperdir=${join(directory, "fs")}`,
        `lowerdir=${join(this.directory, "image")}`,
      ],
    };
  }
}

/** The one layer of every container. */
async function makeImage(directory: string): Promise<void> {
  await mkdir(join(directory, "image", "bin"), { recursive: true });
  await writeFile(join(directory, "image", "bin", "sh"), "");
}

/** An ordinary container's spec in its own pod, without the volumes that only a kubelet makes. */
function specOf(id: string): object {
  const spec = criSpec();
  return {
    ...spec,
    mounts: spec.mounts.filter(({ type }) => type !== "bind"),
    annotations: { ...spec.annotations, "io.kubernetes.cri.sandbox-id": id },
  };
}

/** Returns the bundle's path. It is removed by the next build of the product. */
async function bundleDaemon(): Promise<string> {
  await build({
    absWorkingDir: repoRoot(),
    entryPoints: [join("bench", `${PROGRAM}.ts`)],
    outdir: distDirectory(),
    ...bundleOptions(),
  });
  return join(distDirectory(), `${PROGRAM}.mjs`);
}

async function clear(directory: string): Promise<void> {
  await killProcessesOf(directory);
  await unmountBelow(directory);
  await rm(directory, { recursive: true, force: true, maxRetries: 3 });
}
