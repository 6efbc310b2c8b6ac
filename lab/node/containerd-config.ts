/**
 * The configuration of a private containerd, as TOML of version 3 (containerd's docs/cri/config.md).
 *
 * The handler `blazar` is the one of deploy/containerd.toml; `runc` is containerd's own, for comparison.
 */
import { join } from "node:path";

/** The image that runc's pods rest in; import one under this name to use that handler. */
export const PAUSE_IMAGE = "localhost/blazar/pause:latest";

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
}

/** The whole file, for a containerd whose files are all below `directory`. */
export function containerdConfig(options: ContainerdConfigOptions): string {
  const { directory, socket, blazarSocket, shimDirectory, logLevel, extraConfig } = options;
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
  'io.containerd.tracing.processor.v1.otlp', 'io.containerd.internal.v1.tracing',
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
${criTables(directory, blazarSocket === undefined ? undefined : shimDirectory)}${extraConfig ?? ""}`;
}

/** The tables of CRI: images, and the runtime with its handlers. Without a shim there is no handler `blazar`. */
function criTables(directory: string, shimDirectory: string | undefined): string {
  const blazar = (shims: string) => `
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.blazar]
    runtime_type = 'io.containerd.runc.v2'
    runtime_path = '${join(shims, "containerd-shim-blazar-v1")}'
    sandboxer = 'blazar'
    pod_annotations = ['io.blazar.*']
    container_annotations = ['io.blazar.*']
`;
  return `
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '${PAUSE_IMAGE}'

[plugins.'io.containerd.cri.v1.runtime']
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  disable_apparmor = true
${shimDirectory === undefined ? "" : blazar(shimDirectory)}
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      Root = '${join(directory, "state", "runc")}'

  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['/usr/lib/cni', '/opt/cni/bin']
    conf_dir = '${join(directory, "cni")}'
`;
}
