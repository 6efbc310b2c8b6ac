/**
 * From a bundle's config.json (OCI runtime spec) to the guest's request `container.create`.
 *
 * A field is obeyed, ignored or refused; docs/oci-spec.md lists them. It is ignored with a warning where the container is
 * as safe without it inside its own VM. It is refused where the container would lack something that it was promised.
 * Takes any JSON value and throws nothing but BlazarErrors.
 */
import { BlazarError } from "../../contracts/errors.ts";
import type { SeccompProfile } from "../../contracts/seccomp.ts";
import type { VolumeRequest } from "../../contracts/volumes.ts";
import type { ContainerCreate } from "../../protocol/guest/messages.ts";
import { containerCreate } from "../../protocol/guest/messages.ts";
import { layerBytesOf } from "./annotations.ts";
import { translateDevices } from "./devices.ts";
import { atMost, refuseLarge } from "./limits.ts";
import { translateMounts } from "./mounts.ts";
import { translateNamespaces } from "./namespaces.ts";
import { guestProcess, HOST_LABELS, processNotices, processWarnings, translateProcess } from "./process.ts";
import { guestResources, translateResources } from "./resources.ts";
import { invalidSpec, isEmpty, type OciSpec, readSpec, specSchema, unsupportedSpec } from "./schema.ts";
import { readSeccomp } from "./seccomp.ts";

/** What the guest has to do for a container. The caller adds its root, stdio and id. */
export interface TranslatedSpec {
  readonly create: Omit<
    ContainerCreate,
    "id" | "rootfs" | "stdio" | "pidTarget" | "seccomp" | "drainMs" | "returned"
  >;
  /** Undefined: no system call is filtered. */
  readonly seccomp: SeccompProfile | undefined;
  /** What it binds of the host; mounts of type `volume` name them by number. */
  readonly volumes: readonly VolumeRequest[];
  readonly rootReadonly: boolean;
  /** Task pid of the container whose PID namespace is joined, if `create.pidNamespace` is `target`. */
  readonly pidTarget: number | undefined;
  /** One sentence for each field that is ignored. */
  readonly warnings: readonly string[];
  /** Sentences that are worth telling once, whatever the container. */
  readonly notices: readonly string[];
}

/** All translations, as the actors use them. */
export const ociSpecs = {
  container: translateSpec,
  process: translateProcess,
  resources: translateResources,
};

/** @throws BlazarError `InvalidSpec`, `UnsupportedSpec` */
export function translateSpec(value: unknown): TranslatedSpec {
  const spec = readSpec(specSchema, value, "");
  refuseUnsupported(spec);
  if (isEmpty(spec.process)) throw invalidSpec("process", "there is none, so there is nothing to run");
  const process = spec.process ?? {};
  const linux = spec.linux ?? {};
  const resources = guestResources(linux.resources ?? {});
  const devices = translateDevices(linux.devices ?? [], linux.resources?.devices ?? []);
  const { pidTarget, ...namespaces } = translateNamespaces(spec);
  const { mounts, volumes, warnings } = translateMounts(spec.mounts ?? [], namespaces.userNamespace);
  const create: TranslatedSpec["create"] = {
    process: guestProcess(process),
    mounts,
    ...namespaces,
    maskedPaths: paths(linux.maskedPaths, "linux.maskedPaths"),
    readonlyPaths: paths(linux.readonlyPaths, "linux.readonlyPaths"),
    sysctl: sysctls(linux.sysctl ?? {}),
    cgroup: resources.cgroup,
    layerBytes: layerBytesOf(spec.annotations ?? {}),
    devices: devices.nodes,
    deviceProgram: devices.program,
  };
  refuseInvalid(create);
  return {
    create,
    seccomp: readSeccomp(linux.seccomp),
    volumes,
    rootReadonly: spec.root?.readonly ?? false,
    pidTarget,
    notices: isEmpty(linux.mountLabel) ? processNotices(process) : [HOST_LABELS],
    warnings: [
      ...processWarnings(process),
      ...warnings,
      ...resources.warnings,
      ...devices.warnings,
      ...linuxWarnings(linux),
    ],
  };
}

type Linux = NonNullable<OciSpec["linux"]>;

function refuseUnsupported({ ociVersion, hooks, linux }: OciSpec): void {
  if (ociVersion !== undefined && ociVersion !== null && !/^1\./.test(ociVersion))
    throw invalidSpec("ociVersion", `version ${ociVersion} is not 1.x`);
  for (const [name, list] of Object.entries(hooks ?? {})) {
    if (!isEmpty(list))
      throw unsupportedSpec(`hooks.${name}`, "hooks run on the host and cannot see a container in a VM");
  }
  if (!isEmpty(linux?.netDevices))
    throw unsupportedSpec("linux.netDevices", "network devices cannot be moved in");
}

function linuxWarnings(linux: Linux): string[] {
  const warnings: string[] = [];
  for (const field of ["intelRdt", "personality"] as const) {
    if (!isEmpty(linux[field])) warnings.push(`linux.${field} is not supported`);
  }
  if (linux.rootfsPropagation === "shared" || linux.rootfsPropagation === "rshared")
    warnings.push("mounts of the container do not propagate to the host");
  return warnings;
}

function paths(list: readonly string[] | null | undefined, field: string): string[] {
  const found = atMost(list ?? [], 256, field);
  const relative = found.find((path) => !path.startsWith("/"));
  if (relative !== undefined) throw invalidSpec(field, `"${relative}" is not an absolute path`);
  return found;
}

function sysctls(given: Readonly<Record<string, string>>): Record<string, string> {
  for (const name of Object.keys(given)) {
    if (!/^[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)+$/.test(name))
      throw invalidSpec("linux.sysctl", `"${name}" is not a sysctl's name`);
  }
  return { ...given };
}

/** Checks the request by the guest's own rules, so that an error has the name of the spec's field. */
function refuseInvalid(create: TranslatedSpec["create"]): void {
  const rootfs = {
    kind: "layers",
    path: "",
    imageSerials: [],
    diskSerial: "",
    filesystem: "",
    readonly: false,
  };
  const stdio = { stdin: 0, stdout: 0, stderr: 0 };
  try {
    containerCreate({ ...create, id: "", pidTarget: "", rootfs, stdio, drainMs: 0, returned: [] }, "spec");
  } catch (error) {
    if (!(error instanceof BlazarError)) throw error;
    throw invalidSpec(error.details.subject ?? "", error.details.reason);
  }
  refuseLarge(create, "");
}
