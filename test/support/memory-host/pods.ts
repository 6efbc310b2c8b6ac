/**
 * What pods of tests look like.
 */
import type { PodLink, PodNetwork } from "../../../src/contracts/pod-network.ts";
import type { SandboxSpec } from "../../../src/contracts/sandbox.ts";
import { criSpec, mount } from "../cri-spec.ts";
import { type MemoryVolumes, volumeEntry } from "./volumes.ts";

/** A hostNetwork pod; `changes` make it another one. */
export function podSpec(id: string, changes: Partial<SandboxSpec> = {}): SandboxSpec {
  return {
    id,
    hostname: id,
    netnsPath: "",
    pidMode: "container",
    cgroupParent: "",
    name: id,
    namespace: "default",
    uid: id,
    attempt: 0,
    labels: {},
    annotations: {},
    ...changes,
  };
}

const POD_DIRECTORY = "/kubelet/pods/8a";
const VOLUMES = {
  config: `${POD_DIRECTORY}/volumes/kubernetes.io~configmap/config`,
  log: `${POD_DIRECTORY}/containers/main/1a2b3c4d`,
  data: "/srv/data",
};

/** Puts what {@link withVolumes} binds on the host; again, and the configMap is another one. */
export function putVolumes(volumes: MemoryVolumes, state: string): void {
  volumes.putAtomic(VOLUMES.config, state, { key: state });
  volumes.put(VOLUMES.log, [volumeEntry("", "file", "")], { type: "file" });
  volumes.put(VOLUMES.data);
}

/** The same container with a volume of each sort that takes something on the host. */
export function withVolumes(request: ReturnType<typeof containerRequest>) {
  const binds = [
    mount("/config", "bind", VOLUMES.config, ["rbind", "ro"]),
    mount("/dev/termination-log", "bind", VOLUMES.log, ["rbind", "rw"]),
    mount("/data", "bind", VOLUMES.data, ["rbind", "rw"]),
  ];
  return { ...request, spec: { ...request.spec, mounts: [...request.spec.mounts, ...binds] } };
}

/** An ordinary container, without volumes. */
export function containerRequest(sandboxId: string, id: string) {
  const { mounts, ...rest } = criSpec();
  return {
    sandboxId,
    id,
    bundle: `/bundles/${id}`,
    rootfs: [{ type: "bind", source: "/layer", target: "", options: ["rbind", "ro"] }],
    stdin: "/f/i",
    stdout: "/f/o",
    stderr: "/f/e",
    terminal: false,
    spec: { ...rest, mounts: mounts.filter(({ type }) => type !== "bind") },
  };
}

/** A network of so many links, as a CNI plugin makes it. */
export function podNetwork(links: number, network = "10.88"): PodNetwork {
  const link = (number: number): PodLink => ({
    name: `eth${number}`,
    mac: `0a:00:00:00:00:0${number}`,
    mtu: 1500,
    addresses: [{ address: `${network}.${number}.2`, prefix: 24, scope: 0 }],
  });
  return { links: Array.from({ length: links }, (_, number) => link(number)), routes: [], neighbours: [] };
}
