/**
 * Cases of critest that need not pass, each with its reason; docs/specification.md has the same list.
 */

export interface Explained {
  /** The case's name, or its beginning. */
  readonly name: string;
  readonly why: string;
}

/** Why a case need not pass; undefined for all others. */
export function reasonFor(name: string): string | undefined {
  return EXPLAINED.find((each) => name.startsWith(each.name))?.why;
}

const NAMESPACES = "Security Context NamespaceOption runtime should support";
const READONLY = "Container Mount Readonly runtime should support readonly mounts should support";

/** By the order in docs/specification.md. */
export const EXPLAINED: readonly Explained[] = [
  {
    name: "Image Manager public image with digest should be pulled and removed",
    why: "the image's name is the digest of bytes that only the upstream registry has, so runc fails here, too",
  },
  {
    name: `${NAMESPACES} HostPID`,
    why: "the processes of the host are not in the guest, so hostPID is refused",
  },
  {
    name: `${NAMESPACES} HostNetwork is true`,
    why: "the guest has the host's addresses, not its sockets: what listens on the host is not in the guest's list",
  },
  {
    name: `${NAMESPACES} HostIpc is true`,
    why: "System V IPC of the host is not in the guest, so hostIPC is refused",
  },
  {
    name: "Container Mount Propagation runtime should support mount propagation mount with 'rshared'",
    why: "a mount that is made in the guest cannot become one of the host, so Bidirectional is refused",
  },
  {
    name: `${READONLY} non-recursive readonly mounts`,
    why: "a read-only volume is read-only with everything that is mounted in it on the host: stricter than runc",
  },
  {
    name: `${READONLY} recursive readonly mounts`,
    why: "what is mounted in a volume on the host stays mounted for the pod, so critest cannot remove its directory until the pod ends",
  },
];
