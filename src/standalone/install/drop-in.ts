/**
 * The part of containerd's configuration that `runtimeClassName: blazar` needs, as a file that containerd imports.
 *
 * It says the same as deploy/containerd.toml, in the version of the file that imports it: containerd loses CRI's settings of
 * an older file if a newer one is merged into it. The snapshotter is left as it is.
 */

/** What differs from node to node. */
export interface DropIn {
  /** Of the importing file. */
  readonly version: 2 | 3;
  /** The daemon's Controller socket. */
  readonly socket: string;
  /** The sandboxer's name (`daemon.sandboxer`). */
  readonly sandboxer: string;
  /** Path of containerd-shim-blazar-v1. */
  readonly shim: string;
}

const CRI = { 2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime" } as const;

/** The whole file. */
export function dropIn({ version, socket, sandboxer, shim }: DropIn): string {
  return `# Written by \`blazar install\`, also at each upgrade of the package: changes are lost.
version = ${version}

[proxy_plugins.${key(sandboxer)}]
  type = 'sandbox'
  address = ${value(socket)}

[plugins.'${CRI[version]}'.containerd.runtimes.blazar]
  # runc's type, because containerd asks no other for its features; neither runc nor its shim runs for these pods
  runtime_type = 'io.containerd.runc.v2'
  runtime_path = ${value(shim)}
  sandboxer = ${value(sandboxer)}
  pod_annotations = ['io.blazar.*']
  container_annotations = ['io.blazar.*']
  # from containerd 2.4 on: no pod has a pause container
  disable_pause_image_pull = true
`;
}

function key(name: string): string {
  return /^[A-Za-z0-9_-]+$/.test(name) ? name : value(name);
}

/** A JSON string is a basic string of TOML. */
function value(text: string): string {
  return JSON.stringify(text);
}
