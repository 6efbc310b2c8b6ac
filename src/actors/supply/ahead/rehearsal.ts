/**
 * A throw-away container that goes the whole path once, so that the first real one finds everything warm.
 *
 * It is a container like any other, with storage, disk, guest and exit; only nobody asked for it.
 */
import { filter, firstValueFrom, timeout } from "rxjs";
import type { TranslatedContainer } from "../../../backends/backend.ts";
import type { GuestLink } from "../../guest/link.ts";
import { type PreparationPorts, prepareChild } from "../../guest/preparation.ts";
import { GuestContainer, type GuestContainerPorts } from "../../vm/guest-container.ts";
import type { GuestVm } from "../../vm/guest-vm.ts";
import { rehearseNetwork } from "./rehearsal-network.ts";
import { REHEARSAL_SPEC } from "./rehearsal-spec.ts";
import { rehearsalVolumes } from "./rehearsal-volumes.ts";

/** What a rehearsal in a VM needs of the host. */
export interface RehearsalPorts extends GuestContainerPorts, PreparationPorts {
  readonly deadlines: GuestContainerPorts["deadlines"];
}

const EXIT_MS = 30_000;
const NO_PATHS = { stdin: "", stdout: "", stderr: "" };

/** Both ways that pods have with PIDs. The second round also meets what only a second container does. */
const ROUNDS = ["container", "sandbox"] as const;

/** Runs `/bin/true` of `root` in the VM and removes every trace. Throws what a container's creation throws. */
export async function rehearse(
  vm: GuestVm,
  root: string,
  ports: RehearsalPorts,
  signal: AbortSignal,
): Promise<void> {
  if (vm.vm.nics.length > 0) await rehearseNetwork(vm.liveLink, ports, signal);
  for (const pidNamespace of ROUNDS) {
    await prepareChild(vm.liveLink, ports, signal);
    const { volumes, mounts } = rehearsalVolumes(root);
    const create = { ...REHEARSAL_SPEC.create, mounts: [...REHEARSAL_SPEC.create.mounts, ...mounts] };
    const spec = { ...REHEARSAL_SPEC, volumes, create: { ...create, pidNamespace } };
    await rehearseOnce(vm, containerSpec(`${vm.id}-rehearsal`, root, spec), ports, signal);
  }
  // a fork would have the same connection as its original, and a warm VM need not have a server
  await vm.shares.layers.withdraw(ports);
}

async function rehearseOnce(
  vm: GuestVm,
  spec: ReturnType<typeof containerSpec>,
  ports: RehearsalPorts,
  signal: AbortSignal,
): Promise<void> {
  const exit = exitOf(vm.liveLink, spec.id, EXIT_MS);
  const container = new GuestContainer(vm, ports, spec, vm.logger);
  try {
    await container.create(signal);
    await container.start(signal);
    await exit;
  } finally {
    await container.remove(signal);
  }
}

/** Resolves when the container's process has ended or the guest is lost. */
function exitOf({ events$ }: GuestLink, id: string, ms: number): Promise<unknown> {
  const exit = firstValueFrom(
    events$.pipe(
      filter((event) => event.type === "lost" || (event.type === "processExited" && event.exit.id === id)),
      timeout(ms),
    ),
  );
  exit.catch(() => undefined);
  return exit;
}

function containerSpec(id: string, root: string, translated: TranslatedContainer) {
  return {
    id,
    shortId: "rehearsal",
    mounts: [{ type: "bind", source: root, target: "", options: ["rbind", "ro"] }],
    translated,
    pidTarget: "",
    paths: NO_PATHS,
    terminal: false,
  };
}

/**
 * Runs a container of the guest's own small root, for a template: no share, no disk, but all that the kernel makes at the
 * first use of an overlay, of namespaces, of cgroups and of a container's filesystems.
 */
export async function rehearseInTemplate(
  guest: GuestLink,
  host: PreparationPorts,
  signal: AbortSignal,
): Promise<void> {
  const id = "template-rehearsal";
  const deadlineMs = host.deadlines.guestRequest;
  const limits = { deadlineMs, signal };
  for (const pidNamespace of ROUNDS) {
    await prepareChild(guest, host, signal);
    const rootfs = {
      kind: "builtin",
      path: "",
      imageSerials: [] as string[],
      diskSerial: "",
      filesystem: "",
      readonly: false,
    } as const;
    const process = { ...REHEARSAL_SPEC.create.process, args: ["/bin/busybox", "true"] };
    const exit = exitOf(guest, `${id}-${pidNamespace}`, deadlineMs);
    const stdio = { stdin: 0, stdout: 0, stderr: 0 };
    const create = {
      ...REHEARSAL_SPEC.create,
      process,
      pidNamespace,
      id: `${id}-${pidNamespace}`,
      rootfs,
      stdio,
      pidTarget: "",
      seccomp: undefined,
      drainMs: 0,
      returned: [],
    };
    await guest.request("container.create", create, limits);
    await guest.request("process.start", { id: create.id, execId: "" }, limits);
    await exit;
    await guest.request("container.delete", { id: create.id }, limits);
  }
}
