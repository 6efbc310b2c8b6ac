/**
 * Every deadline of a sandbox's life and of what is made ahead, by name: the one place where they are set.
 *
 * The charts wait under these names; the configuration overrides them key by key (`[deadlines]`). The defaults hold on
 * software emulation with dozens of VMs booting at once; with KVM nothing comes near them.
 */

interface Deadline {
  /** The default, in milliseconds. */
  readonly ms: number;
  /** What is waited for, in an operator's words; docs/configuration.md shows them. */
  readonly wait: string;
}

/** Add a deadline here, nowhere else. */
export const DEADLINES = {
  kvmProbe: {
    ms: 15_000,
    wait: "The boot of a small guest with KVM, which shows whether KVM works. If it takes longer, VMs are emulated, and it is tried again later. A sandbox that is made meanwhile waits for it within `provision`.",
  },
  provision: { ms: 20_000, wait: "Making the directories, cgroups and network of a new sandbox." },
  startQueue: { ms: 600_000, wait: "Waiting for a turn when many sandboxes start at once." },
  adopt: { ms: 10_000, wait: "Taking over a warm VM from the pool." },
  takeOver: {
    ms: 120_000,
    wait: "Reaching a sandbox's VMM and guest again that an earlier daemon has left running. Then the sandbox is taken down.",
  },
  takeOverTry: {
    ms: 8_000,
    wait: "The part of it from connecting to the guest's agent until it has told what it has. Then the connection is made anew.",
  },
  launch: {
    ms: 60_000,
    wait: "From spawning the VMM until it answers; for a clone or a fork, until it runs.",
  },
  firstSign: {
    ms: 6_000,
    wait: "From then until it is first looked whether the guest shows a sign of life, and from one such look to the next. A VM without one makes way for another.",
  },
  copyHello: {
    ms: 30_000,
    wait: "From then until the agent of a clone or a fork says hello, which runs already. Then the copy makes way for the next way to a VM, and its template is examined.",
  },
  agentHello: { ms: 180_000, wait: "From then until the guest's agent says hello." },
  guestSetup: { ms: 60_000, wait: "Setting host name, entropy and clock in the guest." },
  share: {
    ms: 60_000,
    wait: "Starting a file server and mounting the share in the guest, when a container first needs it.",
  },
  volumeLook: {
    ms: 30_000,
    wait: "Looking at a volume that asks a server or a program (NFS, FUSE, …), or binding it. Then its container fails by name, and nobody else waits for it.",
  },
  hostNetwork: {
    ms: 15_000,
    wait: "Starting the helper that gives a pod the host's network, until it serves. It goes on beside the guest's set-up.",
  },
  warmUp: {
    ms: 300_000,
    wait: "Rehearsing a VM of the pool, or an original, and preparing it for its first container.",
  },
  makeAhead: {
    ms: 1_800_000,
    wait: "Making one VM ahead (for the pool, or an original), from its start until it is rehearsed. Then another one is tried.",
  },
  drainAhead: {
    ms: 10_000,
    wait: "Ending the VMs that were made ahead, when memory is short or the daemon ends. What has not ended by then is left behind.",
  },
  containerCreate: { ms: 90_000, wait: "Storage, disk and the guest's part of a new container." },
  processStart: { ms: 60_000, wait: "From the start of a process until the guest has called execve." },
  outputDrain: {
    ms: 5_000,
    wait: "How long an exec's output stays open for the children that the exec has left behind.",
  },
  containerDelete: { ms: 60_000, wait: "Undoing a container: its part in the guest, its disk, its mounts." },
  guestSignal: {
    ms: 1_000,
    wait: "From a signal to a process until the guest has answered. Then the caller is told that the signal is sent, and the guest obeys when it runs again.",
  },
  guestKill: {
    ms: 4_000,
    wait: "The same for SIGKILL. A guest that does not obey it is given up: its VM is ended, and its containers exit with 137.",
  },
  containerEnd: {
    ms: 60_000,
    wait: "From the guest's answer to SIGKILL until it has told of the end of the container's first process. Then it is given up as well.",
  },
  guestRequest: { ms: 30_000, wait: "Any other request to a guest, such as a resize." },
  stop: {
    ms: 5_000,
    wait: "The whole of a stop, whatever is dead. What is not undone by then is named, and Shutdown comes back to it.",
  },
  guestEnd: {
    ms: 4_000,
    wait: "From the begin of a stop until its guest has ended by itself. Then the VMM is killed.",
  },
  stopContainers: { ms: 3_000, wait: "Killing all containers of a sandbox that stops." },
  guestShutdown: {
    ms: 3_000,
    wait: "From asking the guest to power off until its VMM has ended. Then the VMM is killed.",
  },
  vmmKill: {
    ms: 750,
    wait: "From killing the VMM until its containers count as ended, reaped or not: nothing runs on after SIGKILL.",
  },
  vmmExit: { ms: 3_000, wait: "From killing the VMM until it is reaped." },
  networkTeardown: { ms: 2_500, wait: "Undoing a sandbox's network." },
  containerdCall: { ms: 10_000, wait: "A question to containerd about its images and layers." },
  reconcile: { ms: 10_000, wait: "A look of the reconciler at one kind of thing on the host." },
  imageAhead: {
    ms: 1_800_000,
    wait: "Making the image of an unpacked OCI image before a pod asks for it. Its layers are kept so long at most.",
  },
  storageTeardown: { ms: 4_000, wait: "Undoing a sandbox's storage." },
  shutdown: {
    ms: 5_000,
    wait: "Undoing all that is left of a stopped sandbox. Shutdown fails then, with what it waits for; the next one goes on.",
  },
} as const satisfies Record<string, Deadline>;

/** The name of a wait; see {@link DEADLINES}. */
export type DeadlineName = keyof typeof DEADLINES;

/** How long each wait may take, in milliseconds. */
export type Deadlines = Readonly<Record<DeadlineName, number>>;

/** Makes a value for each deadline. */
export function forEachDeadline<Value>(
  make: (name: DeadlineName, deadline: Deadline) => Value,
): Readonly<Record<DeadlineName, Value>> {
  const entries = (Object.keys(DEADLINES) as DeadlineName[]).map((name) => [
    name,
    make(name, DEADLINES[name]),
  ]);
  return Object.fromEntries(entries) as Record<DeadlineName, Value>;
}

export const DEFAULT_DEADLINES: Deadlines = forEachDeadline((_, { ms }) => ms);
