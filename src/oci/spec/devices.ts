/**
 * From an OCI spec's devices to the guest's: runtime-spec, config-linux.md#devices and #allowed-device-list.
 *
 * A device number means the same in the guest only where Linux has fixed it (Documentation/admin-guide/devices.txt). Any
 * other device of the host would be another one in the guest: the host's 8:0 is the disk of a container there. So such a
 * device is refused, and rules about it are dropped. A privileged container is given all devices of the host, whoever asked
 * for it; there they are left out with a warning.
 */
import { ALWAYS_ALLOWED, type DeviceRule, deviceProgram } from "../../protocol/guest/device-program.ts";
import type { GuestDevice } from "../../protocol/guest/messages.ts";
import { atMost } from "./limits.ts";
import { invalidSpec, isEmpty, type OciDevice, type OciDeviceRule, unsupportedSpec } from "./schema.ts";

export interface TranslatedDevices {
  readonly nodes: GuestDevice[];
  /** Base64 of the program of the container's cgroup. */
  readonly program: string;
  readonly warnings: string[];
}

/** The default devices of the OCI spec, with their numbers: the guest makes them in every container. */
const DEFAULT_DEVICES: ReadonlyMap<string, readonly [major: number, minor: number]> = new Map([
  ["/dev/null", [1, 3]],
  ["/dev/zero", [1, 5]],
  ["/dev/full", [1, 7]],
  ["/dev/random", [1, 8]],
  ["/dev/urandom", [1, 9]],
  ["/dev/tty", [5, 0]],
  ["/dev/console", [5, 1]],
  ["/dev/ptmx", [5, 2]],
]);
/** Majors that every Linux has for the same devices: mem, tty and console, misc, the slaves of ptys; ramdisks and loops. */
const FIXED_MAJORS = { c: new Set([1, 5, 10, 136]), b: new Set([1, 7]) } as const;
/** Minors of misc devices from here on are given out as drivers are loaded. */
const FIRST_DYNAMIC_MISC = 255;
const MISC = 10;

/** @throws BlazarError `InvalidSpec`, `UnsupportedSpec` */
export function translateDevices(
  devices: readonly OciDevice[],
  rules: readonly OciDeviceRule[],
): TranslatedDevices {
  const read = atMost(rules, 1024, "linux.resources.devices").map(readRule);
  const warnings: string[] = [];
  const obeyed = read.filter(isOfGuest);
  const foreign = read.filter((rule) => rule.allow && !isOfGuest(rule));
  if (foreign.length > 0)
    warnings.push(`rules about the host's devices do not apply in the guest: ${shown(foreign.map(nameOf))}`);
  // the last rule for all devices decides what the others are exceptions from
  const privileged = read.findLast(({ type }) => type === "a")?.allow === true;
  const nodes = translateNodes(atMost(devices, 4096, "linux.devices"), privileged, warnings);
  const program = Buffer.from(deviceProgram([...obeyed, ...ALWAYS_ALLOWED])).toString("base64");
  return { nodes, program, warnings };
}

function readRule({ allow, type, major, minor, access }: OciDeviceRule, index: number): DeviceRule {
  const field = `linux.resources.devices[${index}]`;
  const letters = access ?? "";
  if (!/^[rwm]*$/.test(letters))
    throw invalidSpec(`${field}.access`, `"${letters}" is not made of r, w and m`);
  if (!["", "a", "b", "c", "u", undefined, null].includes(type))
    throw invalidSpec(`${field}.type`, `"${type}" is not a, b or c`);
  const all = isEmpty(type) || type === "a";
  return {
    allow: allow ?? false,
    type: all ? "a" : type === "b" ? "b" : "c",
    major: wildcard(major),
    minor: wildcard(minor),
    access: letters,
  };
}

/** -1 stands for all, as does nothing. */
function wildcard(number: number | null | undefined): number | undefined {
  return number === undefined || number === null || number < 0 ? undefined : number;
}

function isOfGuest({ allow, type, major, minor }: DeviceRule): boolean {
  // what is denied is denied; so is what is allowed for all devices of a type, by who may have any
  if (!allow || type === "a" || major === undefined) return true;
  return isFixedDevice(type, major, minor);
}

/** Whether Linux has fixed the number, so that it means the same device in the guest. */
export function isFixedDevice(type: "b" | "c", major: number, minor: number | undefined): boolean {
  return (
    FIXED_MAJORS[type].has(major) && !(type === "c" && major === MISC && (minor ?? 0) >= FIRST_DYNAMIC_MISC)
  );
}

function nameOf({ type, major, minor }: DeviceRule): string {
  return `${type} ${major ?? "*"}:${minor ?? "*"}`;
}

function translateNodes(
  devices: readonly OciDevice[],
  privileged: boolean,
  warnings: string[],
): GuestDevice[] {
  const missing: string[] = [];
  const nodes = devices.flatMap((device, index) => {
    const field = `linux.devices[${index}]`;
    if (!device.path.startsWith("/"))
      throw invalidSpec(`${field}.path`, `"${device.path}" is not an absolute path`);
    const node = readNode(device, field);
    if (isDefault(node, field)) return [];
    if (node.type === "p" || isFixedDevice(node.type, node.major, node.minor)) return [node];
    const what = `${device.path} (${node.type} ${node.major}:${node.minor})`;
    if (!privileged)
      throw unsupportedSpec(field, `the host's device ${what} is not in the guest`, "take it from the pod");
    missing.push(device.path);
    return [];
  });
  if (missing.length > 0) warnings.push(`the host's devices are not in the guest: ${shown(missing)}`);
  return nodes;
}

/** Throws UnsupportedSpec for another device at a default one's path. */
function isDefault({ path, type, major, minor }: GuestDevice, field: string): boolean {
  const numbers = DEFAULT_DEVICES.get(path);
  if (numbers === undefined) return false;
  if (type === "c" && major === numbers[0] && minor === numbers[1]) return true;
  const reason = `${path} is c ${numbers.join(":")} in every container, and would be ${type} ${major}:${minor}`;
  throw unsupportedSpec(field, reason, "give it another path");
}

function readNode({ path, type, major, minor, fileMode, uid, gid }: OciDevice, field: string): GuestDevice {
  if (type !== "b" && type !== "c" && type !== "u" && type !== "p")
    throw invalidSpec(`${field}.type`, `"${type ?? ""}" is not b, c, u or p`);
  const numbered = type !== "p";
  if (numbered && (major === undefined || major === null || minor === undefined || minor === null))
    throw invalidSpec(field, `${path} has no major or minor number`);
  if ((major ?? 0) < 0 || (minor ?? 0) < 0)
    throw invalidSpec(field, `${path} has the number ${major}:${minor}`);
  return {
    path,
    type: type === "u" ? "c" : type,
    major: major ?? 0,
    minor: minor ?? 0,
    mode: (fileMode ?? 0o666) & 0o7777,
    uid: uid ?? 0,
    gid: gid ?? 0,
  };
}

function shown(names: readonly string[]): string {
  const more = names.length > 5 ? ` and ${names.length - 5} more` : "";
  return `${names.slice(0, 5).join(", ")}${more}`;
}
