/**
 * Takes over a QEMU that an earlier daemon has left running: its control connection anew, and what it says of its disks.
 *
 * QEMU's sockets take one client after the other, and forget what a client has not sent to its end (monitor/qmp.c). Commands
 * of the dead daemon have run or not. A node that no device shows is from a command that was not followed by the next one.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { Acceleration } from "../../contracts/vm.ts";
import type { AdoptedVm, VmAdoption } from "../../contracts/vmm.ts";
import { SLOT_SERIALS } from "../../protocol/guest/messages.ts";
import { isRecord } from "../../protocol/wire/json.ts";
import { adoptVmm } from "../common/adopt.ts";
import { diskOfDevice, isDiskNode } from "./disks/disk-names.ts";
import { removeNode } from "./disks/disks.ts";
import type { Launcher } from "./launch.ts";
import { vmPaths } from "./paths.ts";
import { QmpClient } from "./qmp/client.ts";
import { QemuVm } from "./vm.ts";

/** What QEMU says of itself. */
interface Found {
  readonly acceleration: Acceleration;
  readonly paused: boolean;
  /** The guest has ended, and QEMU waits for its console to be read. */
  readonly guestEnded: string | undefined;
  readonly disks: readonly string[];
  /** Slot → node of the image in it. */
  readonly filled: ReadonlyMap<string, string>;
  /** Nodes of disks and images that nothing shows. */
  readonly forgotten: readonly string[];
}

/** A node of QEMU's block layer, as `query-named-block-nodes` has it. */
interface BlockNode {
  readonly name: string;
  readonly driver: string;
  readonly file: string;
}

const SLOTS: ReadonlySet<string> = new Set(SLOT_SERIALS);

/** No program of QEMU's is needed for it: another version may have been installed since, or none. */
export type Adopter = Pick<Launcher, "keeper" | "vmm" | "launchMs" | "deadlines" | "logger" | "sendFile">;

/** Throws what `VmmDriver.adopt` throws. */
export async function adoptVm(
  adopter: Adopter,
  adoption: VmAdoption,
  signal?: AbortSignal,
): Promise<AdoptedVm> {
  const { deadlines, logger } = adopter;
  const paths = vmPaths(adoption.directory);
  let found: Found | undefined;
  const { process, control, nics, timeline } = await adoptVmm(
    { ...adopter, exitMs: deadlines.exitMs },
    adoption,
    {
      paths,
      broken: ["QmpFailed", "LinkClosed"],
      connect: async (abort) => {
        const qmp = await QmpClient.connect(paths.control, abort, adopter.sendFile);
        found = await look(qmp, deadlines.commandMs);
        return qmp;
      },
    },
    signal,
  );
  if (found === undefined) throw blazarError("Internal", "take over the VMM", "QEMU was not asked");
  const { acceleration, paused, disks, filled, forgotten, guestEnded } = found;
  await Promise.all(forgotten.map((node) => removeNode(control, node, deadlines).catch(() => undefined)));
  const options = { process, qmp: control, paths, nics, acceleration, timeline, deadlines, logger };
  const vm = new QemuVm({ ...options, adopted: { paused, disks, filled } });
  if (guestEnded !== undefined) {
    const words = await vm.diagnostics();
    await vm.kill();
    const reason = `its guest has ended (${guestEnded})${words === "" ? "" : `: ${words}`}`;
    throw blazarError("VmmExited", "take over the VMM", reason, { subject: adoption.id });
  }
  return { vm, paused, disks, slots: [...filled.keys()] };
}

async function look(qmp: QmpClient, deadlineMs: number): Promise<Found> {
  const ask = (command: string, args?: Record<string, unknown>) => qmp.execute(command, args, deadlineMs);
  const [status, kvm, block, nodes] = await Promise.all([
    ask("query-status"),
    ask("query-kvm"),
    ask("query-block"),
    ask("query-named-block-nodes", { flat: true }),
  ]);
  const state = isRecord(status) ? String(status["status"]) : "";
  const ended = state === "shutdown" || state === "guest-panicked";
  const all = blockNodes(nodes);
  const shown = shownDisks(block);
  const filled = filledSlots(all);
  const used = new Set([...shown.values(), ...filled.values()]);
  return {
    acceleration: isRecord(kvm) && kvm["enabled"] === true ? "kvm" : "tcg",
    paused: state !== "running" && !ended,
    guestEnded: ended ? state : undefined,
    disks: [...shown.keys()].filter((id) => !SLOTS.has(id)),
    filled,
    forgotten: all.map(({ name }) => name).filter((name) => isDiskNode(name) && !used.has(name)),
  };
}

function blockNodes(answer: unknown): BlockNode[] {
  const list: unknown[] = Array.isArray(answer) ? answer : [];
  return list.filter(isRecord).map((node) => ({
    name: String(node["node-name"]),
    driver: String(node["drv"]),
    file: String(node["file"]),
  }));
}

/** Disk → the node that it shows. */
function shownDisks(answer: unknown): ReadonlyMap<string, string> {
  const list: unknown[] = Array.isArray(answer) ? answer : [];
  const disks = new Map<string, string>();
  for (const entry of list.filter(isRecord)) {
    const { qdev, inserted } = entry;
    const id = typeof qdev === "string" ? diskOfDevice(qdev) : undefined;
    if (id !== undefined && isRecord(inserted)) disks.set(id, String(inserted["node-name"]));
  }
  return disks;
}

/** A slot and the image in it name the same file; each image has a file set of its own. */
function filledSlots(nodes: readonly BlockNode[]): ReadonlyMap<string, string> {
  const images = nodes.filter(({ name, driver }) => driver === "file" && isDiskNode(name));
  const filled = new Map<string, string>();
  for (const slot of nodes) {
    const image = SLOTS.has(slot.name) ? images.find(({ file }) => file === slot.file) : undefined;
    if (image !== undefined) filled.set(slot.name, image.name);
  }
  return filled;
}
