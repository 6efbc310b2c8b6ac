/**
 * Names in the metadata of ttrpc calls that containerd and Blazar agree on.
 */

/** containerd's namespace, for example `k8s.io` (containerd: pkg/namespaces). */
export const NAMESPACE_METADATA = "containerd-namespace-ttrpc";
