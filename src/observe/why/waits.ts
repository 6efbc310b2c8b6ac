/**
 * What each state of the charts waits for, whose answer is missing then, and what an operator can do: in an operator's words.
 *
 * Keyed by effect, and by path for states that wait without one. A test walks the charts: none may be missing here.
 */
import type { ChartName } from "../../contracts/inspection.ts";

export interface Wait {
  /** Ends "It waits for …". */
  readonly what: string;
  /** Whose answer is missing. */
  readonly whose: string;
  /** What an operator can do. */
  readonly remedy: string;
}

const AGENT = "the guest agent";
const WORKER = "a worker thread of the daemon, and the kernel behind it";
const GUEST_REMEDY =
  "look at what the guest says (`blazar logs --console` and `--agent`) and at what it does (`blazar exec`)";

/** By chart and effect. */
export const EFFECT_WAITS: Readonly<Record<string, Wait>> = {
  "sandbox provision": {
    what: "its directories, its control groups and a look at its network to be done",
    whose: WORKER,
    remedy: "see whether the disk of the state directory and the pod's network namespace answer",
  },
  "sandbox adopt": {
    what: "its VMM and its guest, which an earlier daemon has left running, to answer",
    whose: "the VMM, or the guest agent",
    remedy:
      "see whether the VMM runs (`ps`) and what the guest says (`blazar logs --console`); at the deadline the sandbox is taken down",
  },
  "sandbox boot": {
    what: "its VM",
    whose: "the chart of its boot",
    remedy: "look at the boot's own chart (`blazar inspect`)",
  },
  "sandbox stopContainers": {
    what: "its containers' processes to end after SIGKILL",
    whose: AGENT,
    remedy: "wait for the deadline: the VM is ended after it whatever the guest does",
  },
  "sandbox shutDownGuest": {
    what: "its guest to power off",
    whose: AGENT,
    remedy: "wait for the deadline: the VMM is killed after it",
  },
  "sandbox endVmm": {
    what: "its VMM to end",
    whose: "the keeper, and the kernel behind it",
    remedy:
      "see what the process does (`ps -o pid,stat,wchan -p PID`): in state D it waits for the host's disk or a network file system",
  },
  "sandbox tearDownNetwork": {
    what: "its network to be undone",
    whose: `${WORKER}, and the keeper`,
    remedy: "see what the log says of the pod's network namespace",
  },
  "sandbox tearDownStorage": {
    what: "its mounts, disks and directories to be undone",
    whose: WORKER,
    remedy: "see who still uses a file below them (`fuser -vm`); Shutdown comes back to what is left",
  },
  "boot acquire": {
    what: "its turn: as many VMs start at once as the host has cores, and one",
    whose: "the starts before it",
    remedy:
      "see what those do (`blazar ps`); fewer pods at once, a pool (`pool.max`) or more cores make turns shorter",
  },
  "boot adopt": {
    what: "a warm VM of the pool to become its own",
    whose: AGENT,
    remedy: "wait; a warm VM that is late is given up, and another one is started",
  },
  "boot fork": {
    what: "a copy of the original's process",
    whose: "the original, and the keeper",
    remedy: "wait; a fork that is late makes way for a clone",
  },
  "boot clone": {
    what: "a VMM with a template's memory to answer",
    whose: "the VMM",
    remedy: "wait; a clone that is late makes way for a boot; `blazar logs --vmm` has what the VMM says",
  },
  "boot boot": {
    what: "a VMM to be spawned and to answer",
    whose: "the VMM, and the keeper that spawns it",
    remedy: "look at what the VMM says (`blazar logs --vmm`) and whether the keeper runs",
  },
  "boot connectAgent": {
    what: "its guest to boot and the agent's hello",
    whose: AGENT,
    remedy:
      "look at the guest's console (`blazar logs --console`); a busy host may need a longer `deadlines.agentHello`",
  },
  "boot examine": {
    what: "a look at whether its guest shows a sign of life",
    whose: "the VMM",
    remedy: "wait; a guest without a sign of life makes way for another VM",
  },
  "boot setUpGuest": {
    what: "names, files, entropy, clock and network to be set in its guest",
    whose: AGENT,
    remedy: GUEST_REMEDY,
  },
  "container create": {
    what: "a container's root, disks and streams on the host, and for the guest to clone its process",
    whose: `${AGENT}, or ${WORKER}`,
    remedy: `see which step goes on (\`blazar timeline\`); ${GUEST_REMEDY}`,
  },
  "container remove": {
    what: "a container to be undone: its part in the guest, its disk, its mounts",
    whose: `${AGENT}, or ${WORKER}`,
    remedy: "see which step goes on (`blazar timeline`); Stop takes the whole pod down",
  },
  "process start": {
    what: "a process to call execve in the guest",
    whose: AGENT,
    remedy: GUEST_REMEDY,
  },
};

/** By chart and path: states in which nobody of Blazar does anything. */
export const STATE_WAITS: Readonly<Record<string, Wait>> = {
  "sandbox created": {
    what: "Controller.Start",
    whose: "containerd",
    remedy: "see what kubelet and containerd do with the pod (`crictl pods`, their logs)",
  },
  "sandbox ready.paused": {
    what: "its VM's processors, which are halted, to go on",
    whose: "whoever has paused the VM",
    remedy: "see what the VMM says (`blazar logs --vmm`)",
  },
  "sandbox stopped": {
    what: "Controller.Shutdown",
    whose: "containerd",
    remedy: "see whether kubelet still wants the pod (`crictl pods`, `crictl rmp`)",
  },
  "boot awaitingAgent.listening": {
    what: "its guest to boot and the agent's hello",
    whose: AGENT,
    remedy:
      "look at the guest's console (`blazar logs --console`); a busy host may need a longer `deadlines.agentHello`",
  },
  "process pending": {
    what: "Task.Start",
    whose: "containerd",
    remedy: "see what kubelet and containerd do with the container (`crictl ps -a`, their logs)",
  },
};

/** By chart and path: nothing is waited for. Ends "It …". Of containers nothing is said then. */
export const RESTING: Readonly<Record<string, string>> = {
  "sandbox ready.running": "runs, and nothing is waited for",
  "sandbox deciding": "is about to begin",
  "sandbox failing": "is about to be taken down",
  "sandbox stopping.containers.deciding": "is about to end its containers",
  "sandbox stopping.containers.done": "has ended its containers",
  "sandbox stopping.guest.deciding": "is about to shut its guest down",
  "sandbox stopping.guest.done": "has shut its guest down",
  "sandbox removed": "is gone, and nothing of it is left on the host",
  "boot ready": "has its VM",
  "boot failed": "could not have a VM",
};

/** Whose answer a step waits for, by the first word of its name. */
const STEP_OWNERS: Readonly<Record<string, string>> = {
  guest: AGENT,
  vmm: "the VMM",
  keeper: "the keeper",
  worker: WORKER,
  make: WORKER,
  undo: WORKER,
  enter: "the kernel, which moves a process between control groups",
  connect: `${WORKER}, and the keeper`,
  containerd: "containerd",
};

export function waitOfEffect(chart: ChartName, effect: string): Wait | undefined {
  return EFFECT_WAITS[`${chart} ${effect}`];
}

export function waitOfState(chart: ChartName, path: string): Wait | undefined {
  return STATE_WAITS[`${chart} ${path}`];
}

export function restingIn(chart: ChartName, path: string): string | undefined {
  return RESTING[`${chart} ${path}`];
}

export function ownerOfStep(name: string): string | undefined {
  return STEP_OWNERS[name.split(" ")[0] ?? ""];
}
