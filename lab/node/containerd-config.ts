/**
 * The configuration of a private containerd, as TOML of version 3 (containerd's docs/cri/config.md).
 *
 * The handler `blazar` is the one of deploy/containerd.toml; `runc` is containerd's own, for comparison.
 */
import { join } from "node:path";

/** The image that runc's pods rest in; import one under this name to use that handler. */
export const PAUSE_IMAGE = "localhost/blazar/pause:latest";

/** Where distributions have CNI plugins. */
export const CNI_PLUGINS = ["/usr/lib/cni", "/opt/cni/bin"] as const;

export interface ContainerdConfigOptions {
  readonly directory: string;
  /** containerd's gRPC socket. */
  readonly socket: string;
  /** blazard's Controller socket; without it there is no handler `blazar`. */
  readonly blazarSocket: string | undefined;
  /** Where containerd-shim-blazar-v1 is. */
  readonly shimDirectory: string;
  readonly logLevel: "debug" | "info" | "warn" | "error";
  /** TOML added at the end, such as another runtime handler's tables. */
  readonly extraConfig: string | undefined;
  /** Whether its calls are traced; where to is in its environment. */
  readonly traced?: boolean | undefined;
  /** Directories of CNI plugins beside the usual ones. */
  readonly cniPlugins?: readonly string[] | undefined;
  /** How often containerd looks at what snapshots take, in seconds; its own default is 10. */
  readonly usageSeconds?: number | undefined;
}

/** The whole file, for a containerd whose files are all below `directory`. */
export function containerdConfig(options: ContainerdConfigOptions): string {
  const { directory, socket, blazarSocket, logLevel, extraConfig } = options;
  const proxy = `
[proxy_plugins.blazar]
  type = 'sandbox'
  address = '${blazarSocket}'
`;
  return `version = 3
root = '${join(directory, "root")}'
state = '${join(directory, "state")}'
disabled_plugins = [
  'io.containerd.snapshotter.v1.btrfs', 'io.containerd.snapshotter.v1.zfs', 'io.containerd.snapshotter.v1.devmapper',
  ${options.traced === true ? "" : "'io.containerd.tracing.processor.v1.otlp', 'io.containerd.internal.v1.tracing',"}
]

[grpc]
  address = '${socket}'

[debug]
  level = '${logLevel}'
${blazarSocket === undefined ? "" : proxy}
[plugins.'io.containerd.nri.v1.nri']
  disable = true

[plugins.'io.containerd.internal.v1.opt']
  path = '${join(directory, "opt")}'
${criTables(options)}${extraConfig ?? ""}`;
}

/** A handler that is blazar's. @param more further keys of its table */
export function blazarHandler(name: string, shimDirectory: string, more = ""): string {
  return `
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.${name}]
    runtime_type = 'io.containerd.runc.v2'
    runtime_path = '${join(shimDirectory, "containerd-shim-blazar-v1")}'
    sandboxer = 'blazar'
    disable_pause_image_pull = true
    pod_annotations = ['io.blazar.*']
    container_annotations = ['io.blazar.*']
${more}`;
}

/** A handler that is runc's. @param directory containerd's own @param more further keys of its table */
export function runcHandler(name: string, directory: string, more = ""): string {
  return `
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.${name}]
    runtime_type = 'io.containerd.runc.v2'
${more}    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.${name}.options]
      Root = '${join(directory, "state", "runc")}'
`;
}

/** The tables of CRI: images, and the runtime with its handlers. Without a shim there is no handler `blazar`. */
function criTables(options: ContainerdConfigOptions): string {
  const { directory, blazarSocket, shimDirectory, cniPlugins = [], usageSeconds } = options;
  const plugins = [...cniPlugins, ...CNI_PLUGINS].map((each) => `'${each}'`).join(", ");
  return `
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
${usageSeconds === undefined ? "" : `  stats_collect_period = ${usageSeconds}\n`}  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '${PAUSE_IMAGE}'

[plugins.'io.containerd.cri.v1.runtime']
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  disable_apparmor = true
${blazarSocket === undefined ? "" : blazarHandler("blazar", shimDirectory)}${runcHandler("runc", directory)}
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = [${plugins}]
    conf_dir = '${join(directory, "cni")}'
`;
}
