/**
 * A private containerd: root, state, sockets and configuration in one directory, beside whatever the machine runs.
 *
 * It has the handlers `blazar` (if a blazard is named) and `runc`. Outside of the directory it touches only the
 * cgroups of its containers and the sockets of runc's shims.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { CriClient } from "../cri/client.ts";
import type { Dial } from "../cri/streaming.ts";
import { answersAt, Daemon } from "../host/daemon.ts";
import { patient } from "../host/patience.ts";
import { runProgram } from "../host/program.ts";
import { until } from "../host/until.ts";
import { type ImageSpec, writeImage } from "../images/image-builder.ts";
import { type ContainerdConfigOptions, containerdConfig, PAUSE_IMAGE } from "./containerd-config.ts";

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
  /** containerd's log level; `info` if absent. */
  readonly logLevel?: ContainerdConfigOptions["logLevel"];
  /** Directories of CNI plugins beside the usual ones. */
  readonly cniPlugins?: readonly string[] | undefined;
  /** How often it looks at what snapshots take, in seconds. */
  readonly usageSeconds?: number | undefined;
  /** Words before its command, such as `nsenter`; it keeps the process. */
  readonly prefix?: readonly string[] | undefined;
  /** A collector that it sends traces of its calls to, by OTLP over HTTP. */
  readonly collector?: string | undefined;
  /** How its streaming server is reached. */
  readonly dial?: Dial | undefined;
}

const READY_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;
const PULLS_PAUSE = /^v?2\.3\./;
/** As CRI has it. */
const NAMESPACE = "k8s.io";
const SYSTEM_PATH = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"];

/**
 * @example
 * const containerd = await PrivateContainerd.start({ binaries, directory, blazarSocket, shimDirectory });
 * await containerd.importImage(await busyboxImage("localhost/busybox:latest", busybox));
 * const pod = await containerd.cri.runPodSandbox(config, "blazar");
 * await containerd.stop();
 */
export class PrivateContainerd {
  private imports = 0;

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
    const { logLevel = "info", extraConfig, blazarSocket } = options;
    const traced = options.collector !== undefined;
    const config = containerdConfig({ ...options, socket, logLevel, extraConfig, blazarSocket, traced });
    await writeFile(configFile(directory), config);
    const cri = new CriClient(socket, { dial: options.dial });
    const logFile = join(directory, "containerd.log");
    try {
      const daemon = await launch(options, socket, logFile, cri);
      const containerd = new PrivateContainerd(options, socket, logFile, cri, daemon);
      await containerd.importPauseIfAsked();
      return containerd;
    } catch (error) {
      cri.close();
      throw error;
    }
  }

  /** 2.3 pulls the pause image for every handler, and has no key against it as 2.4 has. */
  private async importPauseIfAsked(): Promise<void> {
    const { runtimeVersion } = await this.cri.version();
    if (PULLS_PAUSE.test(runtimeVersion)) await this.importImage({ name: PAUSE_IMAGE, layers: [[]] });
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

  /** Builds an image and imports it; resolves when CRI knows it by its name. */
  async importImage(image: ImageSpec): Promise<void> {
    const file = join(this.options.directory, `import-${this.imports++}.tar`);
    await writeImage(file, image);
    await this.importArchive(file, image.name);
    await rm(file);
  }

  /** Imports a tar of an OCI layout whose image has this name; resolves when CRI knows it. */
  async importArchive(file: string, name: string): Promise<void> {
    await this.ctr("images", "import", "--local", file);
    const known = async () => (await this.cri.imageStatus(name)).image;
    await until(`the image ${name}`, known, { timeoutMs: READY_TIMEOUT_MS });
  }

  /** Ends containerd, by SIGKILL if `kill`, and starts it again on what it finds. */
  async restart(how: { readonly kill?: boolean } = {}): Promise<void> {
    const { options, socket, logFile, cri } = this;
    if (how.kill === true) await this.daemon.kill();
    else await this.daemon.stop();
    this.daemon = await launch(options, socket, logFile, cri);
  }

  /** Ends containerd and the connection to it. Its containers go on. Harmless when it has ended. */
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
  const { binaries, directory, shimDirectory, prefix = [] } = options;
  const path = [shimDirectory, binaries, process.env["PATH"] ?? "", ...SYSTEM_PATH].join(delimiter);
  const command = [...prefix, join(binaries, "containerd"), "--config", configFile(directory)];
  const [program = "", ...args] = command;
  return Daemon.start({
    name: "containerd",
    program,
    args,
    env: { ...process.env, PATH: path, TMPDIR: directory, ...tracing(options.collector) },
    logFile,
    ready: async () => (await answersAt(socket)) && (await serves(cri)),
    readyTimeoutMs: patient(READY_TIMEOUT_MS),
    stopTimeoutMs: patient(STOP_TIMEOUT_MS),
  });
}

/** Variables of OpenTelemetry's SDK. */
function tracing(collector: string | undefined): Record<string, string> {
  if (collector === undefined) return {};
  return {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
    OTEL_SERVICE_NAME: "containerd",
    OTEL_BSP_SCHEDULE_DELAY: "200",
  };
}

async function serves(cri: CriClient): Promise<boolean> {
  try {
    const { status } = await cri.status();
    return status?.conditions.some(({ type, status }) => type === "RuntimeReady" && status) ?? false;
  } catch {
    return false;
  }
}

function configFile(directory: string): string {
  return join(directory, "config.toml");
}
