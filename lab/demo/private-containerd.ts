/**
 * A containerd of one's own: its own root, state, sockets and configuration in one directory, beside whatever the
 * machine runs.
 *
 * For the demo, the tests and the benchmark. It knows the handlers `blazar` (if a blazard is named) and `runc`. The
 * only places outside of the directory that it touches are the cgroups of its containers and runc's shim sockets.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { delimiter, join } from "node:path";
import { CriClient } from "../cri/client.ts";
import { Daemon, runProgram } from "./child.ts";

/** The image that runc's pods rest in; import one under this name to use that handler. */
export const PAUSE_IMAGE = "localhost/blazar/pause:latest";

export interface PrivateContainerdOptions {
  /** Where containerd, ctr and containerd-shim-runc-v2 are. */
  readonly binaries: string;
  /** Made if missing; all files go in here. Keep its path short: unix sockets have 107 characters. */
  readonly directory: string;
  /** blazard's Controller socket, which must be there already; without it there is no handler `blazar`. */
  readonly blazarSocket?: string | undefined;
  /** Where containerd-shim-blazar-v1 is. */
  readonly shimDirectory: string;
  /** TOML added at the end of the configuration: further tables, such as another runtime handler's. */
  readonly extraConfig?: string | undefined;
  /** containerd's log level. */
  readonly logLevel?: "debug" | "info" | "warn" | "error";
}

const READY_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;
/** As CRI has it. */
const NAMESPACE = "k8s.io";
const SYSTEM_PATH = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"];

/**
 * @example
 * const containerd = await PrivateContainerd.start({ binaries, directory, blazarSocket, shimDirectory });
 * await containerd.importImage("busybox.tar", "docker.io/library/busybox:latest");
 * const pod = await containerd.cri.runPodSandbox(config, "blazar");
 * await containerd.stop();
 */
export class PrivateContainerd {
  private constructor(
    private readonly options: PrivateContainerdOptions,
    /** containerd's gRPC socket. */
    readonly socket: string,
    readonly logFile: string,
    readonly cri: CriClient,
    private daemon: Daemon,
  ) {}

  static async start(options: PrivateContainerdOptions): Promise<PrivateContainerd> {
    const { directory } = options;
    const state = join(directory, "state");
    await mkdir(state, { recursive: true, mode: 0o711 });
    await mkdir(join(directory, "cni"), { recursive: true });
    const socket = join(state, "containerd.sock");
    await writeFile(configFile(directory), configuration(options, socket));
    const cri = new CriClient(socket);
    const logFile = join(directory, "containerd.log");
    try {
      const daemon = await launch(options, socket, logFile, cri);
      return new PrivateContainerd(options, socket, logFile, cri, daemon);
    } catch (error) {
      cri.close();
      throw error;
    }
  }

  /** Of the process that runs now. */
  get pid(): number {
    return this.daemon.pid;
  }

  /** Runs ctr in CRI's namespace; returns what it prints. */
  ctr(...args: string[]): Promise<string> {
    const program = join(this.options.binaries, "ctr");
    return runProgram(program, ["--address", this.socket, "--namespace", NAMESPACE, ...args]);
  }

  /** Imports an image's tar; resolves when CRI knows it by its name. */
  async importImage(file: string, name: string): Promise<void> {
    await this.ctr("images", "import", "--local", file);
    await until(async () => (await this.cri.imageStatus(name)).image !== undefined);
  }

  /** Ends containerd, by SIGKILL if `kill`, and starts it again on what it finds. */
  async restart(how: { readonly kill?: boolean } = {}): Promise<void> {
    const { options, socket, logFile, cri } = this;
    if (how.kill === true) await this.daemon.kill();
    else await this.daemon.stop();
    this.daemon = await launch(options, socket, logFile, cri);
  }

  /** Ends containerd and the connection to it. What its containers are, they stay. Harmless when it has ended. */
  async stop(): Promise<void> {
    this.cri.close();
    await this.daemon.stop();
  }
}

function launch(
  options: PrivateContainerdOptions,
  socket: string,
  logFile: string,
  cri: CriClient,
): Promise<Daemon> {
  const { binaries, directory, shimDirectory } = options;
  const path = [shimDirectory, binaries, process.env["PATH"] ?? "", ...SYSTEM_PATH].join(delimiter);
  return Daemon.start({
    name: "containerd",
    program: join(binaries, "containerd"),
    args: ["--config", configFile(directory)],
    env: { ...process.env, PATH: path, TMPDIR: directory },
    logFile,
    ready: async () => (await answers(socket)) && (await serves(cri)),
    readyTimeoutMs: READY_TIMEOUT_MS,
    stopTimeoutMs: STOP_TIMEOUT_MS,
  });
}

/** Whether somebody accepts connections at a unix socket. */
export function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection({ path: socket });
    connection.on("connect", () => {
      connection.destroy();
      resolve(true);
    });
    connection.on("error", () => resolve(false));
  });
}

async function serves(cri: CriClient): Promise<boolean> {
  try {
    const { status } = await cri.status();
    return status?.conditions.some(({ type, status }) => type === "RuntimeReady" && status) ?? false;
  } catch {
    return false;
  }
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (!(await condition()) && performance.now() < deadline)
    await new Promise((next) => setTimeout(next, 10));
}

function configFile(directory: string): string {
  return join(directory, "config.toml");
}

/** See facts of containerd's documentation, docs/cri/config.md, and deploy/containerd.toml. */
function configuration(options: PrivateContainerdOptions, socket: string): string {
  const { directory, blazarSocket } = options;
  const state = join(directory, "state");
  const proxy = `
[proxy_plugins.blazar]
  type = 'sandbox'
  address = '${blazarSocket}'
`;
  const handler = `
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.blazar]
    runtime_type = 'io.containerd.blazar.v1'
    sandboxer = 'blazar'
    pod_annotations = ['io.blazar.*']
    container_annotations = ['io.blazar.*']
`;
  return `version = 3
root = '${join(directory, "root")}'
state = '${state}'
disabled_plugins = [
  'io.containerd.snapshotter.v1.btrfs', 'io.containerd.snapshotter.v1.zfs', 'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.tracing.processor.v1.otlp', 'io.containerd.internal.v1.tracing',
]

[grpc]
  address = '${socket}'

[debug]
  level = '${options.logLevel ?? "info"}'
${blazarSocket === undefined ? "" : proxy}
[plugins.'io.containerd.nri.v1.nri']
  disable = true

[plugins.'io.containerd.internal.v1.opt']
  path = '${join(directory, "opt")}'

[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '${PAUSE_IMAGE}'

[plugins.'io.containerd.cri.v1.runtime']
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  disable_apparmor = true
${blazarSocket === undefined ? "" : handler}
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      Root = '${join(state, "runc")}'

  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['/usr/lib/cni', '/opt/cni/bin']
    conf_dir = '${join(directory, "cni")}'
${options.extraConfig ?? ""}`;
}
