/**
 * The guest's own directories: the one list of paths that the agent's modules agree on.
 *
 * Everything that the agent makes is below /run, which is a tmpfs. No container sees any of it.
 */

import { SHARE_PATHS } from "../../src/protocol/guest/messages.ts";

/** The share with the layers of containers, read-only. */
export const SHARE = SHARE_PATHS.layers;
/** Files and shared memory of the sandbox. */
export const SANDBOX = "/run/sandbox";
export const SHARED_MEMORY = "/run/sandbox/shm";
/** Volumes in memory (volumes/volumes.ts). */
export const VOLUMES = "/run/volumes-in-memory";
/** One directory for each container. */
export const CONTAINERS = "/run/containers";
/** Mounts of prepared disks (prepared/prepared-disks.ts). */
export const DISKS = "/run/disks";
/** Mounts of images (root/images.ts). */
export const IMAGES = "/run/images";
/** Where mounts are assembled before they are detached; nothing stays mounted here. */
export const STAGING = "/run/staging";
/** An empty directory, the root of helpers that need no files. */
export const EMPTY = "/run/empty";
/** The built-in root: busybox. */
export const BUILTIN_ROOT = "/rootfs";
export const CGROUPS = "/sys/fs/cgroup";
/** The cgroup of the pod: all containers' are in it. */
export const POD_CGROUP = `${CGROUPS}/pod`;
