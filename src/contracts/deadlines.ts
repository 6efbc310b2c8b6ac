/**
 * Every deadline of a sandbox's life, by name, in milliseconds: the one place where they are set.
 *
 * The charts wait under these names; the config file overrides them key by key (`[deadlines]`). The defaults
 * hold on software emulation with dozens of VMs booting at once; with KVM nothing comes near them.
 */
export interface Deadlines {
  /** Directories, cgroups and the network of a new sandbox. */
  readonly provision: number;
  /** Waiting for a turn, when many sandboxes start at once. */
  readonly startQueue: number;
  /** Taking a warm VM from the pool over. */
  readonly adopt: number;
  /** From spawning the VMM until it answers. */
  readonly launch: number;
  /** From then until the guest's agent says hello. */
  readonly agentHello: number;
  /** Host name, share, entropy, clock in the guest. */
  readonly guestSetup: number;
  /** Rehearsing a VM of the pool, or an original, and preparing it for its first container. */
  readonly warmUp: number;
  /** Host storage, disk and the guest's part of a new container. */
  readonly containerCreate: number;
  /** From start until the guest has called execve. */
  readonly processStart: number;
  /** Undoing a container: guest, disk, mounts. */
  readonly containerDelete: number;
  /** Any other request to a guest: signals, resizes, pids. */
  readonly guestRequest: number;
  /** Killing all containers of a sandbox that stops. */
  readonly stopContainers: number;
  /** From asking the guest to power off until the VMM has ended. */
  readonly guestShutdown: number;
  /** From killing the VMM until it is reaped. */
  readonly vmmExit: number;
  readonly networkTeardown: number;
  readonly storageTeardown: number;
}

export const DEFAULT_DEADLINES: Deadlines = {
  provision: 20_000,
  startQueue: 600_000,
  adopt: 10_000,
  launch: 60_000,
  agentHello: 180_000,
  guestSetup: 60_000,
  warmUp: 300_000,
  containerCreate: 90_000,
  processStart: 60_000,
  containerDelete: 60_000,
  guestRequest: 30_000,
  stopContainers: 20_000,
  guestShutdown: 10_000,
  vmmExit: 20_000,
  networkTeardown: 20_000,
  storageTeardown: 60_000,
};
