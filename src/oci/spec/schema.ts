/**
 * The fields of an OCI runtime spec that are read: opencontainers/runtime-spec, config.md and config-linux.md.
 *
 * Shapes only: process.ts, mounts.ts, resources.ts and translate.ts decide what a value means. Absent and null are the
 * same, as in Go's JSON. A field that is not listed here has no effect.
 */
import * as z from "zod/mini";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { IdMapping } from "../../contracts/id-maps.ts";

/** Text for a system call, which would end at a NUL. */
const text = z.string().check(z.refine((value) => !value.includes("\0"), "must not contain a NUL byte"));
/** A number of 64 bits. JSON.parse rounds it above 2^53, where only its size matters. */
const wide = z.number();
/** A device number; Linux has fewer. -1 stands for all. */
const int32 = z.int().check(z.gte(-1), z.lte(0x7fff_ffff));
const uint32 = z.int().check(z.gte(0), z.lte(0xffff_ffff));
const texts = z.nullish(z.array(text));

const capabilitySet = z.nullish(z.array(z.string()));

export const processSchema = z.object({
  terminal: z.nullish(z.boolean()),
  consoleSize: z.nullish(z.object({ height: z.nullish(wide), width: z.nullish(wide) })),
  user: z.nullish(
    z.object({
      uid: z.nullish(uint32),
      gid: z.nullish(uint32),
      umask: z.nullish(z.int().check(z.gte(0), z.lte(0o777))),
      additionalGids: z.nullish(z.array(uint32)),
    }),
  ),
  args: texts,
  env: texts,
  cwd: z.nullish(text),
  capabilities: z.nullish(
    z.object({
      bounding: capabilitySet,
      effective: capabilitySet,
      permitted: capabilitySet,
      inheritable: capabilitySet,
      ambient: capabilitySet,
    }),
  ),
  rlimits: z.nullish(
    z.array(z.object({ type: z.string().check(z.regex(/^RLIMIT_[A-Z]{1,20}$/)), soft: wide, hard: wide })),
  ),
  noNewPrivileges: z.nullish(z.boolean()),
  oomScoreAdj: z.nullish(z.int().check(z.gte(-1000), z.lte(1000))),
  apparmorProfile: z.nullish(z.string()),
  selinuxLabel: z.nullish(z.string()),
  ioPriority: z.optional(z.unknown()),
  scheduler: z.optional(z.unknown()),
  execCPUAffinity: z.optional(z.unknown()),
});
export type OciProcess = z.output<typeof processSchema>;

const idMappingSchema = z.object({ containerID: uint32, hostID: uint32, size: uint32.check(z.gte(1)) });
export type OciIdMapping = z.output<typeof idMappingSchema>;

/** In the project's own words. */
export function idMappings(mappings: readonly OciIdMapping[]): IdMapping[] {
  return mappings.map(({ containerID, hostID, size }) => ({
    containerId: containerID,
    hostId: hostID,
    size,
  }));
}

const mountSchema = z.object({
  destination: text,
  type: z.nullish(text),
  source: z.nullish(text),
  options: texts,
  uidMappings: z.nullish(z.array(idMappingSchema)),
  gidMappings: z.nullish(z.array(idMappingSchema)),
});
export type OciMount = z.output<typeof mountSchema>;

const namespaceSchema = z.object({ type: z.string(), path: z.nullish(z.string()) });
export type OciNamespace = z.output<typeof namespaceSchema>;

const deviceRuleSchema = z.object({
  allow: z.nullish(z.boolean()),
  type: z.nullish(z.string()),
  major: z.nullish(int32),
  minor: z.nullish(int32),
  access: z.nullish(z.string()),
});
export type OciDeviceRule = z.output<typeof deviceRuleSchema>;

export const resourcesSchema = z.object({
  devices: z.nullish(z.array(deviceRuleSchema)),
  memory: z.nullish(
    z.object({
      limit: z.nullish(wide),
      reservation: z.nullish(wide),
      swap: z.nullish(wide),
      disableOOMKiller: z.nullish(z.boolean()),
    }),
  ),
  cpu: z.nullish(
    z.object({
      shares: z.nullish(wide),
      quota: z.nullish(wide),
      burst: z.nullish(wide),
      period: z.nullish(wide),
      realtimeRuntime: z.nullish(wide),
      realtimePeriod: z.nullish(wide),
      cpus: z.nullish(z.string()),
      mems: z.nullish(z.string()),
      idle: z.nullish(wide),
    }),
  ),
  pids: z.nullish(z.object({ limit: z.nullish(wide) })),
  hugepageLimits: z.nullish(
    z.array(
      z.object({
        pageSize: z.string().check(z.regex(/^[0-9]{1,6}[KMG]B$/, "must be like 2MB")),
        limit: z.nullish(wide),
      }),
    ),
  ),
  blockIO: z.nullish(z.record(z.string(), z.unknown())),
  network: z.nullish(z.record(z.string(), z.unknown())),
  rdma: z.nullish(z.record(z.string(), z.unknown())),
  unified: z.nullish(z.record(z.string(), text)),
});
export type OciResources = z.output<typeof resourcesSchema>;

const deviceSchema = z.object({
  path: text,
  type: z.nullish(z.string()),
  major: z.nullish(int32),
  minor: z.nullish(int32),
  fileMode: z.nullish(uint32),
  uid: z.nullish(uint32),
  gid: z.nullish(uint32),
});
export type OciDevice = z.output<typeof deviceSchema>;

export const specSchema = z.object({
  ociVersion: z.nullish(z.string()),
  process: z.nullish(processSchema),
  hostname: z.nullish(text),
  domainname: z.nullish(text),
  root: z.nullish(z.object({ readonly: z.nullish(z.boolean()) })),
  mounts: z.nullish(z.array(mountSchema)),
  annotations: z.nullish(z.record(z.string(), z.string())),
  hooks: z.nullish(z.record(z.string(), z.nullish(z.array(z.unknown())))),
  linux: z.nullish(
    z.object({
      uidMappings: z.nullish(z.array(idMappingSchema)),
      gidMappings: z.nullish(z.array(idMappingSchema)),
      namespaces: z.nullish(z.array(namespaceSchema)),
      devices: z.nullish(z.array(deviceSchema)),
      netDevices: z.nullish(z.record(z.string(), z.unknown())),
      sysctl: z.nullish(z.record(z.string(), text)),
      resources: z.nullish(resourcesSchema),
      rootfsPropagation: z.nullish(z.string()),
      seccomp: z.optional(z.unknown()),
      maskedPaths: texts,
      readonlyPaths: texts,
      mountLabel: z.nullish(z.string()),
      intelRdt: z.optional(z.unknown()),
      personality: z.optional(z.unknown()),
    }),
  ),
});
export type OciSpec = z.output<typeof specSchema>;

/** Checks a parsed JSON value. Throws InvalidSpec, which names the first wrong field. */
export function readSpec<Schema extends z.ZodMiniType>(
  schema: Schema,
  value: unknown,
  prefix: string,
): z.output<Schema> {
  const result = z.safeParse(schema, value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = issue?.path ?? [];
  throw invalidSpec(`${fieldName(prefix, path)}${shownValue(value, path)}`, reasonFor(issue));
}

type Issue = z.core.$ZodIssue;

/** In words that do not need the schema. */
function reasonFor(issue: Issue | undefined): string {
  if (issue?.code === "too_big" || issue?.code === "too_small") return "out of range";
  if (issue?.code === "invalid_type")
    return `it is not ${issue.expected === "int" ? "an integer" : `of type ${issue.expected}`}`;
  return issue?.message ?? "it is not as the OCI runtime spec says";
}

/** The value at a path, with a space in front, if it is a number or a short word. */
function shownValue(value: unknown, path: readonly PropertyKey[]): string {
  let found: unknown = value;
  for (const key of path) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, key)) return "";
    found = Reflect.get(found, key);
  }
  if (typeof found === "number" || typeof found === "boolean") return ` ${found}`;
  return typeof found === "string" && /^[\x20-\x7e]{1,64}$/.test(found) ? ` "${found}"` : "";
}

/** The error for a spec that is wrong. */
export function invalidSpec(field: string, reason: string): BlazarError {
  const subject = field === "" ? undefined : field;
  return blazarError("InvalidSpec", "read the OCI spec", reason, { subject });
}

/** The error for a spec that is right, and asks for what Blazar does not have. */
export function unsupportedSpec(field: string, reason: string, remedy?: string): BlazarError {
  return blazarError("UnsupportedSpec", "obey the OCI spec", reason, { subject: field, remedy });
}

/** The spec does not tell absent, null and empty apart. */
export function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function fieldName(prefix: string, path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, key) => {
    if (typeof key === "number") return `${name}[${key}]`;
    return name === "" ? String(key) : `${name}.${String(key)}`;
  }, prefix);
}
