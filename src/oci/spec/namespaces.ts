/**
 * From an OCI spec's namespaces to the guest's: runtime-spec, config-linux.md#namespaces and #user-namespace-mappings.
 *
 * The guest's own UTS, IPC and network namespaces are the pod's. A namespace without a path is the container's own. A path
 * leads to the pod's, as CRI writes it, or for PID to that of another container. A pod has one user namespace for all.
 */
import { mapsProblem } from "../../contracts/id-maps.ts";
import type { ContainerCreate, UserNamespaceMaps } from "../../protocol/guest/messages.ts";
import {
  idMappings,
  invalidSpec,
  isEmpty,
  type OciIdMapping,
  type OciNamespace,
  type OciSpec,
  unsupportedSpec,
} from "./schema.ts";

type Linux = NonNullable<OciSpec["linux"]>;

export interface TranslatedNamespaces
  extends Pick<
    ContainerCreate,
    "pidNamespace" | "userNamespace" | "idmappedLayers" | "ownNamespaces" | "hostname" | "domainname"
  > {
  /** Task pid of the container whose PID namespace is joined, if `pidNamespace` is `target`. */
  readonly pidTarget: number | undefined;
}

/** The kinds that a container may have for itself. Mount and cgroup namespaces are every container's own. */
const OWN = ["ipc", "uts", "network"] as const;
const KNOWN: ReadonlySet<string> = new Set([...OWN, "pid", "mount", "cgroup", "user", "time"]);

/** @throws BlazarError `InvalidSpec`, `UnsupportedSpec` */
export function translateNamespaces({ hostname, domainname, linux }: OciSpec): TranslatedNamespaces {
  const namespaces = linux?.namespaces ?? [];
  refuseWrong(namespaces);
  const ownNamespaces = OWN.filter((type) => isOwn(namespaces, type));
  return {
    ...translatePidNamespace(namespaces),
    userNamespace: userNamespaceOf(namespaces, linux ?? {}),
    // the snapshot says whether they are
    idmappedLayers: false,
    ownNamespaces,
    ...namesOf(ownNamespaces.includes("uts"), hostname ?? "", domainname ?? ""),
  };
}

function refuseWrong(namespaces: readonly OciNamespace[]): void {
  const seen = new Set<string>();
  for (const [index, { type }] of namespaces.entries()) {
    const field = `linux.namespaces[${index}].type`;
    if (!KNOWN.has(type)) throw invalidSpec(field, `"${type.slice(0, 32)}" is not a kind of namespace`);
    if (seen.has(type)) throw invalidSpec(field, `"${type}" is given twice`);
    seen.add(type);
  }
  if (seen.has("time"))
    throw unsupportedSpec("linux.namespaces", "a time namespace is not supported", "remove it from the spec");
}

function isOwn(namespaces: readonly OciNamespace[], type: string): boolean {
  return namespaces.some((namespace) => namespace.type === type && isEmpty(namespace.path));
}

/** In the pod's UTS namespace the names are the pod's, which the sandbox has set. */
function namesOf(
  own: boolean,
  hostname: string,
  domainname: string,
): { hostname: string; domainname: string } {
  for (const [field, name] of Object.entries({ hostname, domainname })) {
    if (Buffer.byteLength(name) > 64)
      throw invalidSpec(field, `"${name.slice(0, 80)}" is longer than 64 bytes`);
  }
  return own ? { hostname, domainname } : { hostname: "", domainname: "" };
}

function userNamespaceOf(
  namespaces: readonly OciNamespace[],
  { uidMappings, gidMappings }: Linux,
): UserNamespaceMaps | undefined {
  const asked = namespaces.some(({ type }) => type === "user");
  const fields = { "linux.uidMappings": uidMappings ?? [], "linux.gidMappings": gidMappings ?? [] };
  for (const [field, mappings] of Object.entries(fields)) {
    if (asked && mappings.length === 0)
      throw invalidSpec("linux.namespaces", `a user namespace needs ${field}`);
    if (!asked && mappings.length > 0)
      throw invalidSpec(field, "there is no user namespace in linux.namespaces");
  }
  if (!asked) return undefined;
  return {
    uids: readMappings(uidMappings ?? [], "linux.uidMappings"),
    gids: readMappings(gidMappings ?? [], "linux.gidMappings"),
  };
}

/** Throws InvalidSpec for maps that the kernel would refuse, or that do not have root. */
function readMappings(mappings: readonly OciIdMapping[], field: string): UserNamespaceMaps["uids"] {
  const read = idMappings(mappings);
  const problem = mapsProblem(read);
  if (problem !== undefined) throw invalidSpec(field, problem);
  return read;
}

/**
 * A PID namespace without a path is the container's own. Without one, or with a path, the container joins the sandbox's
 * or a target container's. CRI puts the sandbox's pid into the paths of the namespaces that the whole pod shares, so
 * another pid is the target's.
 */
function translatePidNamespace(
  namespaces: readonly OciNamespace[],
): Pick<TranslatedNamespaces, "pidTarget" | "pidNamespace"> {
  const pathOf = (type: string): string =>
    namespaces.find((namespace) => namespace.type === type)?.path ?? "";
  const own = namespaces.find(({ type }) => type === "pid");
  if (own !== undefined && isEmpty(own.path)) return { pidNamespace: "container", pidTarget: undefined };
  const pid = processOf(pathOf("pid"));
  const shared = ["ipc", "uts", "network"].map((type) => processOf(pathOf(type)));
  const known = shared.filter((each) => each !== undefined);
  if (pid === undefined || known.length === 0 || known.includes(pid))
    return { pidNamespace: "sandbox", pidTarget: undefined };
  return { pidNamespace: "target", pidTarget: pid };
}

/** The pid in `/proc/<pid>/ns/<type>`. */
function processOf(path: string): number | undefined {
  const [, digits] = /^\/proc\/(\d{1,10})\/ns\/[a-z]+$/.exec(path) ?? [];
  return digits === undefined ? undefined : Number(digits);
}
