/**
 * /dev/kvm, looked at: is it there, and may a VMM open it? (Linux, Documentation/virt/kvm/api.rst, chapter 3.)
 *
 * That it can be opened does not mean that it works; kvm-search.ts finds that out. Whoever opens it is a VMM's user, which is in
 * no group but its own and the device's (confinement.ts). Where VMMs have no user of their own, it is this process's.
 */
import { constants } from "node:fs";
import { open, readFile, stat } from "node:fs/promises";
import type { KvmFinding } from "../../../contracts/kvm.ts";
import type { VmSpec } from "../../../contracts/vm.ts";

export const KVM_DEVICE = "/dev/kvm";

const RULE = 'KERNEL=="kvm", GROUP="kvm", MODE="0660"';
const GIVE_TO_GROUP = `give it to the group kvm, for good by a udev rule: ${RULE} in /etc/udev/rules.d/60-kvm.rules, and once by chgrp kvm ${KVM_DEVICE} && chmod 0660 ${KVM_DEVICE}`;
const TURN_ON =
  "load kvm_intel or kvm_amd; if the kernel refuses, turn virtualization on in the firmware, or nested virtualization if this is a VM";
const PERMISSIONS = 0o777;
const OTHERS = 0o006;
const GROUP = 0o060;
const OWNER = 0o600;
/** A VMM does not become a member of root's group, whatever belongs to that. */
export const ROOT_GROUP = 0;

/** Who owns the device, and who may do what (inode(7)). */
interface Ownership {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** What is wrong with the device; undefined if a VMM can open it. @param user of VMMs; undefined = this process's */
export async function kvmDeviceProblem(
  user: VmSpec["user"],
  device = KVM_DEVICE,
): Promise<KvmFinding | undefined> {
  const owned = await stat(device).catch(() => undefined);
  if (owned === undefined) return { state: "absent", reason: `there is no ${device}`, remedy: TURN_ON };
  const code = await errorOfOpening(device);
  if (code === "EACCES") return denied(await own(owned), owned, device);
  if (code === "EPERM")
    return {
      state: "denied",
      reason: `the kernel refuses to open ${device} (EPERM): a device control group does`,
      remedy: `allow it: DeviceAllow=${device} rw in the unit, or --device ${device} for a container`,
    };
  if (code === "EBUSY")
    return {
      state: "broken",
      reason: `${device} cannot be opened (EBUSY): another hypervisor has the processor`,
      remedy: "end the other hypervisor",
    };
  if (code !== undefined)
    return {
      state: "absent",
      reason: `there is ${device}, and no KVM behind it (${code})`,
      remedy: TURN_ON,
    };
  if (user === undefined || mayOpen(owned, user)) return undefined;
  const who = `the users of VMMs (${user.uid}, for example)`;
  return denied({ who, remedy: GIVE_TO_GROUP }, owned, device);
}

/** Whether a VMM that runs as this user may read and write it. */
export function mayOpen(owned: Ownership, { uid, gid }: NonNullable<VmSpec["user"]>): boolean {
  const may = (bits: number) => (owned.mode & bits) === bits;
  if (owned.uid === uid) return may(OWNER);
  // whichever group the device has, a VMM's user is made a member of it
  if (owned.gid === gid || owned.gid !== ROOT_GROUP) return may(GROUP);
  return may(OTHERS);
}

async function denied(
  { who, remedy }: { readonly who: string; readonly remedy: string },
  owned: Ownership,
  device: string,
): Promise<KvmFinding> {
  const [user, group] = await Promise.all([name("passwd", owned.uid), name("group", owned.gid)]);
  const mode = (owned.mode & PERMISSIONS).toString(8).padStart(4, "0");
  return {
    state: "denied",
    reason: `${who} may not open ${device}, which belongs to ${user}:${group} with mode ${mode}`,
    remedy,
  };
}

/** Of this process, which may not open it. */
async function own({ gid, mode }: Ownership) {
  const user = await name("passwd", process.getuid?.() ?? 0);
  const groups = await Promise.all((process.getgroups?.() ?? []).map((each) => name("group", each)));
  const join = `make the user a member of its group (usermod -aG ${await name("group", gid)} ${user}), and log in again`;
  return {
    who: `the user ${user} in the groups ${groups.join(", ")}`,
    remedy: (mode & GROUP) === GROUP && gid !== ROOT_GROUP ? join : GIVE_TO_GROUP,
  };
}

async function errorOfOpening(device: string): Promise<string | undefined> {
  try {
    await (await open(device, constants.O_RDWR)).close();
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "unknown error";
  }
}

/** A name of /etc/passwd or /etc/group, else the number. */
async function name(table: "passwd" | "group", id: number): Promise<string> {
  const text = await readFile(`/etc/${table}`, "utf8").catch(() => "");
  const line = text.split("\n").find((each) => each.split(":")[2] === `${id}`);
  return line?.split(":")[0] ?? `${id}`;
}
