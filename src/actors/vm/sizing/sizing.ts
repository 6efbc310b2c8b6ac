/**
 * How large a pod's VM is: processors and memory. docs/sizing.md has the rules as one table.
 *
 * The pod's limits come first, then its annotations, then the node's defaults. Kubelet's control group for the pod takes
 * the guest's memory and the VMM: both must fit, or the host kills the VM of a pod that keeps to its limits.
 */
import { blazarError } from "../../../contracts/errors.ts";
import type { SandboxSpec } from "../../../contracts/sandbox.ts";
import type { VmShape } from "../../../contracts/vm.ts";
import { parseSize } from "../../../lib/sizes.ts";

const MEBIBYTE = 2 ** 20;
/** What the guest's kernel, agent and file systems take, beside what grows with its memory. Measured: 88 at first, 115 after files. */
const GUEST_BYTES = 120 * MEBIBYTE;
/** The kernel has a `struct page` of 64 bytes for each page of 4 KiB. */
const PAGE_TABLE_SHARE = 64;
/** Nothing smaller than this boots. */
const LEAST_BYTES = 128 * MEBIBYTE;

export const VCPUS_ANNOTATION = "io.blazar.vcpus";
export const MEMORY_ANNOTATION = "io.blazar.memory";

/** What of a VM's shape follows from a pod's limits. */
export type VmSize = Pick<VmShape, "vcpus" | "memoryBytes">;

/** The node's part in the sizes of VMs. */
export interface SizingRules {
  /** What a pod without limits and annotations gets. */
  readonly defaults: VmSize;
  /** No VM has more. */
  readonly most: VmSize;
  /** Memory comes in multiples of this, so that pods of about one size share templates. */
  readonly stepBytes: number;
  /** How many times a pod's limits its VM holds, so that the limits can be raised while it runs; 1 = as much as they are now. */
  readonly headroom: number;
  /** What the VMM takes beside its guest's memory, at most. */
  readonly vmmBytes: (vcpus: number) => number;
}

export interface SizedVm {
  readonly size: VmSize;
  /** What an operator should know: sentences. */
  readonly warnings: readonly string[];
}

type SizedSpec = Pick<SandboxSpec, "id" | "vcpus" | "memoryBytes" | "overheadBytes" | "annotations">;

/**
 * @param groupBytes the memory limit of the pod's control group on the host; undefined = none
 * @param isPart the pod's memory limit is that of some containers; the others have none, and need as much as a pod without limits
 * @throws BlazarError InvalidSpec for an annotation that is no size, or a control group that is too small for any VM
 */
export function sizeOf(
  spec: SizedSpec,
  rules: SizingRules,
  groupBytes: number | undefined,
  isPart = false,
): SizedVm {
  const warnings: string[] = [];
  const promised = spec.memoryBytes ?? 0;
  const vcpus = processors(spec, rules, groupBytes, warnings);
  const asked = annotated(spec, MEMORY_ANNOTATION, rules.most.memoryBytes, sizeValue);
  const unlimited = isPart ? roomFor(rules.defaults.memoryBytes) : 0;
  const wanted = promised > 0 ? neededFor(promised + unlimited) : (asked ?? rules.defaults.memoryBytes);
  const bound = boundOf(rules, groupBytes, vcpus);
  if (bound < LEAST_BYTES) throw tooSmall(spec, rules, groupBytes, vcpus);
  const least = Math.max(LEAST_BYTES, fitted(wanted, bound, rules.stepBytes));
  if (least < wanted) warnings.push(lessThanWanted(spec, { vcpus, memoryBytes: least }, rules, groupBytes));
  if (promised > 0 && asked !== undefined && asked < wanted)
    warnings.push(unused(MEMORY_ANNOTATION, "memory"));
  const ceiling = asked ?? neededFor(promised * rules.headroom);
  if (promised === 0 || ceiling <= least) return { size: { vcpus, memoryBytes: least }, warnings };
  const highest = ceilingOf(rules, groupBytes, promised, vcpus);
  const memoryBytes = Math.max(least, fitted(ceiling, highest, rules.stepBytes));
  if (asked !== undefined && asked > memoryBytes)
    warnings.push(lowerCeiling(asked, memoryBytes, groupBytes ?? 0));
  return { size: { vcpus, memoryBytes }, warnings };
}

/** A VM's network interfaces for so many links: 1, 2, 4 or 8, so that pods with about as many share templates. */
export function nicsFor(links: number, least: number): number {
  return links === 0 ? least : Math.max(least, 2 ** Math.ceil(Math.log2(links)));
}

/** The guest's memory in which containers can use so many bytes. */
export function neededFor(containerBytes: number): number {
  return containerBytes + GUEST_BYTES + Math.ceil(containerBytes / PAGE_TABLE_SHARE);
}

/** What containers can use of a guest's memory. */
export function roomFor(memoryBytes: number): number {
  return Math.max(0, Math.floor(((memoryBytes - GUEST_BYTES) * PAGE_TABLE_SHARE) / (PAGE_TABLE_SHARE + 1)));
}

/** Why a container with these cgroup files cannot have its memory limit in such a VM; undefined = it can. */
export function beyondTheVm(
  cgroup: Readonly<Record<string, string>>,
  { memoryBytes }: VmSize,
): string | undefined {
  const limit = Number(cgroup["memory.max"]);
  const room = roomFor(memoryBytes);
  // no limit at all is always met by the VM's own
  if (!Number.isFinite(limit) || limit <= room) return undefined;
  return `the limit is ${mebibytes(limit)} of memory, and containers can use ${wholeMebibytes(room)} of the pod's VM`;
}

/** Few numbers: what is above the pod's limit is held back by the CPU quota of its control group. */
function processors(
  { id, vcpus, memoryBytes = 0, annotations }: SizedSpec,
  rules: SizingRules,
  groupBytes: number | undefined,
  warnings: string[],
): number {
  const most = rules.most.vcpus;
  const asked = annotated({ id, annotations }, VCPUS_ANNOTATION, most, wholeValue);
  if (vcpus === undefined) return asked ?? rules.defaults.vcpus;
  if (vcpus > most)
    warnings.push(
      `the pod's CPU limit is ${vcpus} processors and its VM has ${most}, the most on this node (vmm.vcpus_limit)`,
    );
  const least = Math.min(most, powerOfTwo(vcpus));
  if (asked !== undefined && asked < vcpus) warnings.push(unused(VCPUS_ANNOTATION, "CPU"));
  let ceiling = Math.min(most, powerOfTwo(asked ?? vcpus * rules.headroom));
  // what the VMM takes for them must not be taken of the pod's memory
  const needed = Math.max(LEAST_BYTES, neededFor(memoryBytes));
  // half of the node's most, which may be six, need not be a whole number
  while (ceiling > least && boundOf(rules, groupBytes, ceiling) < needed) ceiling = powerOfTwo(ceiling) / 2;
  return Math.max(least, ceiling);
}

function powerOfTwo(vcpus: number): number {
  return 2 ** Math.ceil(Math.log2(vcpus));
}

/** The most memory that a guest may have. */
function boundOf(rules: SizingRules, groupBytes: number | undefined, vcpus: number): number {
  const { memoryBytes: most } = rules.most;
  return groupBytes === undefined ? most : Math.min(most, groupBytes - rules.vmmBytes(vcpus));
}

/**
 * The most memory that a guest may have of which its containers may use so much. The rest goes back to the host whenever it is
 * free, but for what the kernel has of it for its own tables.
 */
function ceilingOf(
  rules: SizingRules,
  groupBytes: number | undefined,
  promised: number,
  vcpus: number,
): number {
  const { memoryBytes: most } = rules.most;
  if (groupBytes === undefined) return most;
  return Math.min(most, PAGE_TABLE_SHARE * (groupBytes - rules.vmmBytes(vcpus) - promised - GUEST_BYTES));
}

/** A multiple of the step that has room for `wanted`, of a smaller step where that does not fit, at most the bound. */
function fitted(wanted: number, bound: number, stepBytes: number): number {
  for (let step = stepBytes; step > MEBIBYTE; step = step / 2) {
    const size = Math.ceil(wanted / step) * step;
    if (size <= bound) return size;
  }
  return Math.floor(Math.min(bound, Math.ceil(wanted / MEBIBYTE) * MEBIBYTE) / MEBIBYTE) * MEBIBYTE;
}

function lessThanWanted(
  { memoryBytes: promised = 0, overheadBytes = 0 }: SizedSpec,
  { vcpus, memoryBytes }: VmSize,
  rules: SizingRules,
  groupBytes: number | undefined,
): string {
  const room = wholeMebibytes(roomFor(memoryBytes));
  const holds =
    promised > 0
      ? `its containers can use ${room} of the ${mebibytes(promised)} of their limits`
      : `its containers can use ${room}`;
  if (groupBytes === undefined || memoryBytes >= rules.most.memoryBytes)
    return `the VM has ${mebibytes(memoryBytes)}, the most on this node (vmm.memory_limit): ${holds}`;
  const vmm = mebibytes(rules.vmmBytes(vcpus));
  const remedy =
    promised > 0
      ? `; set overhead.podFixed.memory of its RuntimeClass to ${mebibytes(overheadFor(promised, vcpus, rules))}, it is ${mebibytes(overheadBytes)}`
      : "";
  return `the pod's control group has ${mebibytes(groupBytes)}, of which the VMM takes ${vmm} and the guest gets ${mebibytes(memoryBytes)}: ${holds}${remedy}`;
}

function lowerCeiling(asked: number, memoryBytes: number, groupBytes: number): string {
  return `${MEMORY_ANNOTATION} asks for ${mebibytes(asked)}, and the VM has ${mebibytes(memoryBytes)}: the pod's control group has ${mebibytes(groupBytes)}, and each GiB more takes 16Mi of its overhead`;
}

/** The overhead with which a pod of these limits has all of them. */
function overheadFor(promised: number, vcpus: number, { vmmBytes }: SizingRules): number {
  return neededFor(promised) - promised + vmmBytes(vcpus);
}

function tooSmall(
  { id, memoryBytes: promised = 0, overheadBytes = 0 }: SizedSpec,
  rules: SizingRules,
  groupBytes = 0,
  vcpus: number,
) {
  const least = LEAST_BYTES + rules.vmmBytes(vcpus);
  const reason = `the pod's control group has ${mebibytes(groupBytes)} of memory, and the smallest VM takes ${mebibytes(least)}`;
  const overhead = Math.max(overheadFor(promised, vcpus, rules), least - promised);
  return blazarError("InvalidSpec", "size the pod's VM", reason, {
    subject: id,
    remedy: `set overhead.podFixed.memory of its RuntimeClass to ${mebibytes(overhead)} (it is ${mebibytes(overheadBytes)}), or raise the pod's memory limit`,
  });
}

function unused(annotation: string, limit: string): string {
  return `${annotation} is not used: the pod has a ${limit} limit, which decides`;
}

function annotated(
  { annotations }: Pick<SizedSpec, "id" | "annotations">,
  name: string,
  most: number,
  read: (text: string, most: number) => number | string,
): number | undefined {
  if (!Object.hasOwn(annotations, name)) return undefined;
  const text = annotations[name] ?? "";
  const value = read(text, most);
  if (typeof value === "number") return value;
  throw blazarError("InvalidSpec", "read the pod's annotations", `"${text.slice(0, 80)}" ${value}`, {
    subject: name,
  });
}

function sizeValue(text: string, most: number): number | string {
  const bytes = parseSize(text);
  if (bytes === undefined) return 'is no size, such as "512Mi"';
  if (bytes < LEAST_BYTES) return `is less than the smallest VM, ${mebibytes(LEAST_BYTES)}`;
  return bytes > most ? `is more than this node gives a VM, ${mebibytes(most)} (vmm.memory_limit)` : bytes;
}

function wholeValue(text: string, most: number): number | string {
  if (!/^[1-9]\d{0,3}$/.test(text)) return "is no number of processors";
  return Number(text) > most ? `is more than this node gives a VM, ${most} (vmm.vcpus_limit)` : Number(text);
}

/** As a Kubernetes quantity, rounded down: what there is. */
export function wholeMebibytes(bytes: number): string {
  return `${Math.floor(bytes / MEBIBYTE)}Mi`;
}

/** As a Kubernetes quantity, rounded up: what is needed. */
export function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / MEBIBYTE)}Mi`;
}
