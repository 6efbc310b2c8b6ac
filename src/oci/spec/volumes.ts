/**
 * Which kind a volume is: the one table of all kinds, from what a spec binds and what the host has there.
 *
 * Pure. The first row that takes a source decides (docs/volumes.md says why each is as it is). Paths are recognised by
 * their end, as kubelet and containerd make them below whatever root directory they have.
 */
import { blazarError } from "../../contracts/errors.ts";
import type {
  DeviceVolume,
  FileVolume,
  MemoryVolume,
  SharedVolume,
  SourceFacts,
  VolumeCopy,
  VolumeKind,
  VolumePlan,
  VolumeRequest,
} from "../../contracts/volumes.ts";
import { isFixedDevice } from "./devices.ts";

export interface Sighted {
  readonly request: VolumeRequest;
  readonly facts: SourceFacts;
  /** Reads the source as a copy would have it. */
  readonly copy: () => VolumeCopy;
}

/** Up to a pod's own directory: the first that looks like one, for what is below it may have any name that the pod has chosen. */
const OF_A_POD = String.raw`^(?:(?!/pods/).)*/pods/[^/]+`;
/** Kubelet's volumes that are small, read-only, and replaced as a whole. */
const PROJECTED = new RegExp(
  String.raw`${OF_A_POD}/volumes/kubernetes\.io~(configmap|secret|projected|downward-api)/[^/]+(?<rest>/.+)?$`,
);
const EMPTY_DIRECTORY = new RegExp(
  String.raw`(?<whole>${OF_A_POD}/volumes/kubernetes\.io~empty-dir/[^/]+)(?<rest>/.+)?$`,
);
/** Where kubelet binds a part of a volume: `<pod>/volume-subpaths/<volume>/<container>/<number>`. */
const PART = /\/volume-subpaths\/[^/]+\/[^/]+\/\d+$/;
/** Kubelet's own hosts file of a pod, and what it reads a container's last words from. */
const HOSTS_FILE = /\/pods\/[^/]+\/etc-hosts$/;
const TERMINATION_LOG = /\/pods\/[^/]+\/containers\/[^/]+\/[0-9a-f]{8}$/;
/** What containerd's CRI makes for a VOLUME of an OCI image: `<root>/containers/<id>/volumes/<id>`. */
const OWN = /\/containers\/[0-9a-f]{64}\/volumes\/[0-9a-f]{32,64}$/;

/** Whether a source may be copied, by its path alone: then it is read with the first look. */
export function mayBeCopied({ source, readonly }: VolumeRequest): boolean {
  if (HOSTS_FILE.test(source) || TERMINATION_LOG.test(source) || OWN.test(source)) return true;
  return readonly && (PROJECTED.test(source) || PART.test(source));
}

/** One kind. Undefined: the source is of another one. Throws UnsupportedSpec. */
type Row = (sighted: Sighted) => VolumePlan | undefined;

/** The kinds in the order in which they are tried. What none of them takes is shared. */
const TABLE: { readonly [Name in Exclude<VolumeKind, "shared"> | "refused"]: Row } = {
  refused: refuse,
  device: asDevice,
  own: asOwn,
  memory: asMemory,
  file: asFile,
  copied: asCopy,
};

/** Decides. Throws UnsupportedSpec for what a VM cannot have. */
export function volumePlan(sighted: Sighted): VolumePlan {
  for (const row of Object.values(TABLE)) {
    const plan = row(sighted);
    if (plan !== undefined) return plan;
  }
  return shared(sighted, undefined);
}

function refuse({ request, facts }: Sighted): undefined {
  const { source } = request;
  const sentences: Partial<Record<SourceFacts["type"], readonly [reason: string, remedy: string]>> = {
    missing: ["there is no such file or directory on the host", "make it before the pod starts"],
    socket: [
      "it is a socket, and nothing in a VM can connect to a socket of the host",
      "reach its server over the network, or run the pod with another runtime class",
    ],
    fifo: ["it is a FIFO, whose other end would be outside of the VM", "use a file"],
  };
  const sentence = sentences[facts.type];
  if (sentence !== undefined) throw refused(request, ...sentence);
  if (facts.filesystem === "hugetlbfs") {
    const reason = `${source} has huge pages of the host, which a VM cannot map`;
    throw refused(request, reason, "use an emptyDir of medium Memory");
  }
}

function asDevice({ request, facts }: Sighted): DeviceVolume | undefined {
  if (facts.type !== "block" && facts.type !== "character") return undefined;
  const { major, minor, mode, uid, gid } = facts;
  const type = facts.type === "block" ? "b" : "c";
  if (!isFixedDevice(type, major, minor)) {
    const reason = `the guest has no such device (${type} ${major}:${minor})`;
    throw refused(request, reason, "take it from the pod");
  }
  return { kind: "device", type, major, minor, mode, uid, gid };
}

function asOwn({ request, facts, copy }: Sighted): VolumePlan | undefined {
  if (facts.type !== "directory" || request.readonly || !OWN.test(request.source)) return undefined;
  // containerd has put into it what the OCI image has there; what is large is not copied a second time
  return "entries" in copy() ? { kind: "own" } : undefined;
}

function asMemory({ facts }: Sighted): MemoryVolume | undefined {
  const { whole, rest = "" } = EMPTY_DIRECTORY.exec(facts.origin)?.groups ?? {};
  if (whole === undefined || facts.type !== "directory" || !facts.mounted || facts.filesystem !== "tmpfs")
    return undefined;
  const { filesystemBytes: bytes, originOwner: root, mode, uid, gid } = facts;
  return {
    kind: "memory",
    key: `memory ${whole}`,
    bytes,
    root,
    path: rest.slice(1),
    owner: { mode, uid, gid },
  };
}

function asFile({ request, facts, copy }: Sighted): VolumePlan | undefined {
  const { source, readonly } = request;
  if (facts.type !== "file") return undefined;
  const writtenBack = !readonly && TERMINATION_LOG.test(source);
  const ofProjected = readonly && PROJECTED.test(facts.origin);
  if (!writtenBack && !ofProjected && !HOSTS_FILE.test(source)) return undefined;
  const copied = copy();
  const entry = "entries" in copied ? copied.entries[0] : undefined;
  if (entry === undefined)
    return shared({ request, facts, copy }, "refused" in copied ? copied.refused : undefined);
  return { kind: "file", key: `file ${source}`, source, entry, writtenBack } satisfies FileVolume;
}

function asCopy(sighted: Sighted): VolumePlan | undefined {
  const { request, facts, copy } = sighted;
  const match = PROJECTED.exec(facts.origin);
  if (facts.type !== "directory" || !request.readonly || match === null) return undefined;
  const copied = copy();
  if ("refused" in copied) return shared(sighted, copied.refused);
  const { source } = request;
  const followed = match.groups?.["rest"] === undefined;
  return { kind: "copied", key: `copied ${source}`, source, entries: copied.entries, followed };
}

function shared({ request, facts }: Sighted, instead: string | undefined): SharedVolume {
  const { source, readonly, recursive, slave } = request;
  const how = [readonly ? "ro" : "rw", recursive ? "rbind" : "bind", slave ? "slave" : "private"].join(",");
  const directory = facts.type === "directory";
  return {
    kind: "shared",
    key: `shared ${how} ${source}`,
    source,
    directory,
    readonly,
    recursive,
    slave,
    instead,
  };
}

function refused({ field, source, destination }: VolumeRequest, reason: string, remedy: string) {
  const subject = `${field}: ${source} at ${destination}`;
  return blazarError("UnsupportedSpec", "mount a volume", reason, { subject, remedy });
}
