/**
 * Makes a SandboxSpec of Controller.Create's request.
 *
 * CRI puts the pod's PodSandboxConfig into `options` as protobuf. The sandbox's extension "metadata" has the same
 * configuration as JSON of Go's structs (snake_case, enums as numbers), for callers that fill only containerd's record.
 * Without either, the sandbox gets defaults. Must not look at the host.
 */
import * as z from "zod/mini";
import { type BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import { type IdMapping, mapsProblem } from "../../contracts/id-maps.ts";
import type { PidMode, PodPort, SandboxSpec } from "../../contracts/sandbox.ts";
import type { ControllerCreateRequest } from "../generated/containerd/services/sandbox/v1/controller.ts";
import type { Any } from "../generated/google/protobuf/any.ts";
import {
  type DeepPartial,
  type IDMapping,
  type LinuxContainerResources,
  NamespaceMode,
  PodSandboxConfig,
  Protocol,
  type UserNamespace,
} from "../generated/runtime/v1/cri.ts";
import { checkIdentifier } from "../identifiers.ts";
import { podSysctls, type SysctlPod } from "./sysctls.ts";

const CONFIG_TYPE = "runtime.v1.PodSandboxConfig";
const PROTOCOLS: ReadonlyMap<Protocol, PodPort["protocol"]> = new Map([
  [Protocol.TCP, "tcp"],
  [Protocol.UDP, "udp"],
  [Protocol.SCTP, "sctp"],
]);
const LONGEST_HOSTNAME = 64;
/** The key of CRI's record among the sandbox's extensions. */
const METADATA_EXTENSION = "metadata";

/**
 * @throws BlazarError `InvalidArgument` for an impossible id, `InvalidSpec` for an unreadable config, `UnsupportedSpec` for
 * one that asks for the host's processes or IPC
 */
export function toSandboxSpec(request: ControllerCreateRequest): SandboxSpec {
  const id = checkIdentifier(request.sandboxId, "the sandbox id", "create the sandbox");
  const config = configOf(request);
  refuseHostNamespaces(config, id);
  const { vcpus, memoryBytes } = sizeOf(config.linux?.resources);
  const { memoryBytes: overheadBytes } = sizeOf(config.linux?.overhead);
  const userNamespace = userNamespaceOf(config, id);
  return {
    id,
    hostname: hostnameOf(config, id),
    netnsPath: request.netnsPath,
    ...portsOf(config),
    ...dnsOf(config),
    ...sysctlsOf(config, {
      id,
      hasNetwork: request.netnsPath !== "",
      hasUserNamespace: userNamespace.userNamespace !== undefined,
    }),
    pidMode: pidModeOf(config),
    ...userNamespace,
    cgroupParent: config.linux?.cgroupParent ?? "",
    name: config.metadata?.name ?? "",
    namespace: config.metadata?.namespace ?? "",
    uid: config.metadata?.uid ?? "",
    attempt: config.metadata?.attempt ?? 0,
    labels: config.labels,
    annotations: { ...config.annotations, ...request.annotations },
    ...(vcpus === undefined ? {} : { vcpus }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(overheadBytes === undefined ? {} : { overheadBytes }),
  };
}

/** The kernel takes 64 bytes (sethostname(2)), and the name becomes a word of /etc/hosts. */
function hostnameOf({ hostname }: PodSandboxConfig, subject: string): string {
  const refuse = (reason: string): BlazarError =>
    blazarError("InvalidSpec", "create the sandbox", `hostname ${reason}`, { subject });
  const bytes = Buffer.byteLength(hostname);
  if (bytes > LONGEST_HOSTNAME) throw refuse(`has ${bytes} bytes; there may be ${LONGEST_HOSTNAME} at most`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be in it
  if (/[\s\0-\x1f\x7f]/.test(hostname))
    throw refuse(`${JSON.stringify(hostname)} has a space or a control character in it`);
  return hostname;
}

/** What a pod would see of the host by these is not in its guest. */
function refuseHostNamespaces({ linux }: PodSandboxConfig, subject: string): void {
  const options = linux?.securityContext?.namespaceOptions;
  const asked = { hostPID: options?.pid, hostIPC: options?.ipc };
  for (const [name, mode] of Object.entries(asked)) {
    if (mode !== NamespaceMode.NODE) continue;
    const what = name === "hostPID" ? "processes" : "System V IPC";
    throw blazarError(
      "UnsupportedSpec",
      "create the sandbox",
      `${name}: the host's ${what} cannot be seen from a VM`,
      {
        subject,
        remedy: `set ${name}: false, or run the pod with another runtime class`,
      },
    );
  }
}

/** Checked here, because a pod whose containers are all refused later is worse than none. */
function userNamespaceOf({ linux }: PodSandboxConfig, subject: string): Pick<SandboxSpec, "userNamespace"> {
  const asked = linux?.securityContext?.namespaceOptions?.usernsOptions;
  // NODE is hostUsers: true
  if (asked === undefined || asked.mode === NamespaceMode.NODE) return {};
  const refuse = (reason: string): BlazarError =>
    blazarError("InvalidSpec", "create the sandbox", `the pod's user namespace: ${reason}`, { subject });
  if (asked.mode !== NamespaceMode.POD) throw refuse(`mode ${asked.mode} is neither POD nor NODE`);
  const { uids, gids } = asked;
  const maps = { uids: uids.map(mappingOf), gids: gids.map(mappingOf) };
  for (const [field, mappings] of Object.entries(maps)) {
    const reason = mapsProblem(mappings);
    if (reason !== undefined) throw refuse(`${field}: ${reason}`);
  }
  return { userNamespace: maps };
}

function mappingOf({ containerId, hostId, length }: IDMapping): IdMapping {
  return { containerId, hostId, size: length };
}

function configOf({ sandboxId, options, sandbox }: ControllerCreateRequest): PodSandboxConfig {
  try {
    if (options !== undefined && typeNameOf(options) === CONFIG_TYPE) {
      return PodSandboxConfig.decode(options.value);
    }
    const metadata = sandbox?.extensions[METADATA_EXTENSION];
    if (metadata !== undefined) return configOfMetadata(metadata);
  } catch (cause) {
    const about = { subject: sandboxId, cause };
    throw blazarError("InvalidSpec", "read the pod's configuration", reasonOf(cause), about);
  }
  return PodSandboxConfig.create({ labels: sandbox?.labels ?? {} });
}

/** The name of the message in an Any. Its url may have a host in front. */
function typeNameOf({ typeUrl }: Any): string {
  return typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
}

/** None at all is not the same as one that is empty: then the pod has no resolver. */
function dnsOf({ dnsConfig }: PodSandboxConfig): Pick<SandboxSpec, "dns"> {
  if (dnsConfig === undefined) return {};
  const { servers, searches, options } = dnsConfig;
  return { dns: { servers, searches, options } };
}

function sysctlsOf({ linux }: PodSandboxConfig, pod: SysctlPod): Pick<SandboxSpec, "sysctls"> {
  const sysctls = podSysctls(linux?.sysctls ?? {}, pod);
  return Object.keys(sysctls).length === 0 ? {} : { sysctls };
}

function portsOf({ portMappings }: PodSandboxConfig): { ports?: readonly PodPort[] } {
  if (portMappings.length === 0) return {};
  return {
    ports: portMappings.map(({ protocol, containerPort, hostPort, hostIp }) => ({
      protocol: PROTOCOLS.get(protocol) ?? "tcp",
      ...{ containerPort, hostPort, hostIp },
    })),
  };
}

function pidModeOf(config: PodSandboxConfig): PidMode {
  switch (config.linux?.securityContext?.namespaceOptions?.pid) {
    case NamespaceMode.CONTAINER:
      return "container";
    case NamespaceMode.TARGET:
      return "target";
    default:
      // CRI's zero value
      return "pod";
  }
}

/** What the pod's containers may use together, as kubelet says. The guest's own needs are not in it. */
function sizeOf(resources: LinuxContainerResources | undefined): { vcpus?: number; memoryBytes?: number } {
  if (resources === undefined) return {};
  const { cpuQuota, cpuPeriod, memoryLimitInBytes } = resources;
  const memoryBytes = Number(memoryLimitInBytes);
  return {
    ...(cpuQuota > 0 && cpuPeriod > 0 ? { vcpus: Math.ceil(cpuQuota / cpuPeriod) } : {}),
    ...(memoryBytes > 0 && Number.isSafeInteger(memoryBytes) ? { memoryBytes } : {}),
  };
}

const strings = z.optional(z.nullable(z.array(z.string())));
const idMappings = z.optional(
  z.nullable(
    z.array(
      z.object({
        container_id: z.optional(z.number()),
        host_id: z.optional(z.number()),
        length: z.optional(z.number()),
      }),
    ),
  ),
);
const userNamespace = z.object({ mode: z.optional(z.number()), uids: idMappings, gids: idMappings });
const portMappings = z.optional(
  z.nullable(
    z.array(
      z.object({
        protocol: z.optional(z.number()),
        container_port: z.optional(z.number()),
        host_port: z.optional(z.number()),
        host_ip: z.optional(z.string()),
      }),
    ),
  ),
);
const stringMap = z.optional(z.nullable(z.record(z.string(), z.string())));

const resourceNumbers = z.optional(
  z.object({
    cpu_period: z.optional(z.number()),
    cpu_quota: z.optional(z.number()),
    memory_limit_in_bytes: z.optional(z.number()),
  }),
);

/** The fields of CRI's sandbox record that are read. Go leaves out what is empty. */
const CriMetadata = z.object({
  Metadata: z.object({
    Config: z.optional(
      z.nullable(
        z.object({
          metadata: z.optional(
            z.object({
              name: z.optional(z.string()),
              uid: z.optional(z.string()),
              namespace: z.optional(z.string()),
              attempt: z.optional(z.number()),
            }),
          ),
          hostname: z.optional(z.string()),
          dns_config: z.optional(
            z.nullable(z.object({ servers: strings, searches: strings, options: strings })),
          ),
          port_mappings: portMappings,
          labels: stringMap,
          annotations: stringMap,
          linux: z.optional(
            z.object({
              cgroup_parent: z.optional(z.string()),
              sysctls: stringMap,
              security_context: z.optional(
                z.object({
                  namespace_options: z.optional(
                    z.object({
                      pid: z.optional(z.number()),
                      ipc: z.optional(z.number()),
                      userns_options: z.optional(z.nullable(userNamespace)),
                    }),
                  ),
                }),
              ),
              resources: resourceNumbers,
              overhead: resourceNumbers,
            }),
          ),
        }),
      ),
    ),
  }),
});

function configOfMetadata({ value }: Any): PodSandboxConfig {
  const json: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value));
  const { Config: config } = CriMetadata.parse(json).Metadata;
  const { metadata, dns_config: dns, linux } = config ?? {};
  return PodSandboxConfig.fromPartial({
    metadata: {
      name: metadata?.name ?? "",
      uid: metadata?.uid ?? "",
      namespace: metadata?.namespace ?? "",
      attempt: metadata?.attempt ?? 0,
    },
    hostname: config?.hostname ?? "",
    ...(dns === undefined || dns === null
      ? {}
      : {
          dnsConfig: {
            servers: dns.servers ?? [],
            searches: dns.searches ?? [],
            options: dns.options ?? [],
          },
        }),
    portMappings: (config?.port_mappings ?? []).map((port) => ({
      protocol: Object.values(Protocol).find((one) => one === port.protocol) ?? Protocol.TCP,
      containerPort: port.container_port ?? 0,
      hostPort: port.host_port ?? 0,
      hostIp: port.host_ip ?? "",
    })),
    labels: config?.labels ?? {},
    annotations: config?.annotations ?? {},
    linux: {
      cgroupParent: linux?.cgroup_parent ?? "",
      sysctls: linux?.sysctls ?? {},
      securityContext: {
        namespaceOptions: {
          pid: namespaceMode(linux?.security_context?.namespace_options?.pid),
          ipc: namespaceMode(linux?.security_context?.namespace_options?.ipc),
          usernsOptions: usernsOptionsOf(linux?.security_context?.namespace_options?.userns_options),
        },
      },
      resources: resourcesOf(linux?.resources),
      overhead: resourcesOf(linux?.overhead),
    },
  });
}

function resourcesOf(numbers: z.infer<typeof resourceNumbers>): Partial<LinuxContainerResources> {
  return {
    cpuPeriod: numbers?.cpu_period ?? 0,
    cpuQuota: numbers?.cpu_quota ?? 0,
    memoryLimitInBytes: BigInt(Math.trunc(numbers?.memory_limit_in_bytes ?? 0)),
  };
}

function usernsOptionsOf(
  options: z.output<typeof userNamespace> | null | undefined,
): DeepPartial<UserNamespace> | undefined {
  if (options === undefined || options === null) return undefined;
  const read = (mappings: z.output<typeof idMappings>) =>
    (mappings ?? []).map(({ container_id, host_id, length }) => ({
      containerId: container_id ?? 0,
      hostId: host_id ?? 0,
      length: length ?? 0,
    }));
  return { mode: namespaceMode(options.mode), uids: read(options.uids), gids: read(options.gids) };
}

function namespaceMode(value: number | undefined): NamespaceMode {
  return Object.values(NamespaceMode).find((mode) => mode === value) ?? NamespaceMode.POD;
}
