/**
 * The volumes of a rehearsal: what a kubelet binds into every container, below a directory of the daemon's.
 */
import type { VolumeRequest } from "../../../contracts/volumes.ts";
import type { GuestMount } from "../../../protocol/guest/messages.ts";

/** Below the directory; the paths are a kubelet's, by which volumes are recognised. */
export const REHEARSAL_POD = {
  token: "pods/rehearsal/volumes/kubernetes.io~projected/token",
  hosts: "pods/rehearsal/etc-hosts",
  terminationLog: "pods/rehearsal/containers/main/00000000",
} as const;

const TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount";
const BINDS = [
  { path: REHEARSAL_POD.hosts, destination: "/etc/hosts", readonly: false },
  { path: REHEARSAL_POD.terminationLog, destination: "/dev/termination-log", readonly: false },
  { path: REHEARSAL_POD.token, destination: TOKEN, readonly: true },
];

/** The directory with a pod's, for a rehearsal whose root is there. */
export function rehearsalPodDirectory(root: string): string {
  return `${root}-pod`;
}

/** What the rehearsal's spec binds. */
export function rehearsalVolumes(root: string): {
  readonly volumes: VolumeRequest[];
  readonly mounts: GuestMount[];
} {
  const volumes = BINDS.map(({ path, destination, readonly }, index) => {
    const source = `${rehearsalPodDirectory(root)}/${path}`;
    return {
      field: `mounts[${index}]`,
      source,
      destination,
      readonly,
      recursive: true,
      slave: false,
      idmapped: false,
    };
  });
  const mounts = BINDS.map(({ destination, readonly }, index) => {
    return { type: "volume", source: String(index), destination, options: [readonly ? "ro" : "rw"] };
  });
  return { volumes, mounts };
}
