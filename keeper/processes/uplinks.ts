/**
 * Uplinks: network namespaces with one tap each, for processes that carry frames between a tap and the host's network.
 *
 * Follows user_namespaces(7), network_namespaces(7), tuntap.rst of the kernel. Each belongs to a user namespace of a user of
 * its own, who may administer the one network namespace and nothing of the host. The keeper holds both, so that a process
 * that has ended can be replaced by another one. Namespaces and tap are made by helpers, because that waits for the kernel.
 * Those that a dead keeper has made are found by the tap of the process that serves them: tuntap.rst, ioctl_ns(2).
 */
import * as sys from "sys";
import { failure } from "../../native/runtime/check.ts";
import { type ChildReaper, cloneChild } from "../../native/runtime/child.ts";
import type { EventLoop } from "../../native/runtime/event-loop.ts";
import { makeDirectories, writeControl } from "../../native/runtime/files.ts";
import { type BlazarError, blazarError } from "../../src/contracts/errors.ts";
import { UPLINK_NETWORK, UPLINK_USER, type UplinkMake } from "../../src/protocol/keeper/messages.ts";
import { NetworkNamespace } from "./network-namespaces.ts";

/** Descriptors of the two. */
export interface UplinkNamespaces {
  readonly user: number;
  readonly network: number;
}

export interface UplinksOptions {
  readonly loop: EventLoop;
  readonly reaper: ChildReaper;
}

const OPERATION = "make an uplink";
const SIGKILL = 9;
const HELPER_WAITS_MS = 10_000;
/** Misc devices, and the one that makes taps (admin-guide/devices.txt). */
const TUN_DEVICE = { directory: "/dev/net", name: "/dev/net/tun", major: 10, minor: 200 };
const DEVICE_FLAGS = sys.MS_NOSUID | sys.MS_NOEXEC;
const DEVICE_OPTIONS = "mode=755,size=4k,nr_inodes=8";

export class Uplinks {
  private readonly uplinks = new Map<string, UplinkNamespaces>();

  constructor(private readonly options: UplinksOptions) {}

  /** Throws IllegalTransition, PermissionDenied, HostResource. */
  async make({ id, uid, gid, tap }: UplinkMake): Promise<{ namespace: string }> {
    this.refuseKnown(id);
    const namespaces = await this.namespaces(uid, gid);
    try {
      const network = NetworkNamespace.of(namespaces.network);
      await this.tapMade(network, tap);
      this.refuseKnown(id);
      this.uplinks.set(id, namespaces);
      return { namespace: network.path };
    } catch (error) {
      closeBoth(namespaces);
      throw error;
    }
  }

  /** Holds what another keeper has made and process `pid` serves. Throws ProcessNotFound, HostResource. */
  adopt(id: string, pid: number): Record<string, never> {
    if (this.uplinks.has(id)) return {};
    const process = sys.pidfdOpen(pid);
    if (process < 0) throw failure(process, "ProcessNotFound", "adopt an uplink", id);
    try {
      const network = must(tapOf(process, pid), "find the tap of an uplink");
      const user = sys.namespaceOwner(network);
      if (user < 0) sys.close(network);
      this.uplinks.set(id, { network, user: must(user, "find whose an uplink is") });
    } finally {
      sys.close(process);
    }
    return {};
  }

  drop(id: string): void {
    const uplink = this.uplinks.get(id);
    if (uplink === undefined) return;
    this.uplinks.delete(id);
    closeBoth(uplink);
  }

  /** Throws InvalidArgument. */
  find(id: string): UplinkNamespaces {
    const uplink = this.uplinks.get(id);
    if (uplink !== undefined) return uplink;
    throw blazarError(
      "InvalidArgument",
      "find an uplink",
      "there is none of this name; one that a dead keeper has made ends with its helper",
      {
        subject: id,
      },
    );
  }

  private refuseKnown(id: string): void {
    if (!this.uplinks.has(id)) return;
    throw blazarError("IllegalTransition", OPERATION, "there is one of this name", { subject: id });
  }

  /** The helper waits in the namespaces until they are held. */
  private async namespaces(uid: number, gid: number): Promise<UplinkNamespaces> {
    const [reader, writer] = pipe();
    try {
      const helper = cloneChild({}, () => enterOwn(uid, gid, writer));
      sys.close(writer);
      try {
        await this.entered(helper, reader);
        return held(helper, uid, gid);
      } finally {
        sys.kill(helper, SIGKILL);
      }
    } finally {
      sys.close(reader);
    }
  }

  /** Throws HostResource. */
  private tapMade(network: NetworkNamespace, name: string): Promise<void> {
    const helper = cloneChild({}, () => {
      network.inside(() => makeTap(name));
      return 0;
    });
    return new Promise((resolve, reject) => {
      this.options.reaper.onExit(helper, ({ code }) => {
        if (code === 0) resolve();
        else reject(blazarError("HostResource", OPERATION, "its tap cannot be made; see the keeper's log"));
      });
    });
  }

  /** Throws HostResource if the helper ends instead. */
  private entered(helper: number, reader: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.options.reaper.onExit(helper, () => undefined);
      const byte = new Uint8Array(1);
      const watch = this.options.loop.watch(reader, {
        readable: () => {
          const count = sys.read(reader, byte.buffer, 0, 1);
          if (count === -sys.EAGAIN) return;
          watch.stop();
          if (count === 1) resolve();
          else reject(blazarError("HostResource", OPERATION, "it did not work; see the keeper's log"));
        },
      });
    });
  }
}

/** The network namespace of the tap that a process has; negative: errno. */
function tapOf(process: number, pid: number): number {
  const names = sys.readdir(`/proc/${pid}/fd`);
  if (typeof names === "number") return names;
  for (const name of names) {
    const target = sys.readlink(`/proc/${pid}/fd/${name}`);
    if (typeof target === "string" && target.endsWith("/tun")) return sys.tapNamespace(process, Number(name));
  }
  return -sys.ENOENT;
}

/** In the helper. It ends by its parent's signal, or soon without one. */
function enterOwn(uid: number, gid: number, writer: number): number {
  must(sys.setgroups([]), "drop the supplementary groups");
  must(sys.setresgid(gid, gid, gid), "set the group");
  must(sys.setresuid(uid, uid, uid), "set the user");
  must(sys.unshare(sys.CLONE_NEWUSER | sys.CLONE_NEWNET), "make namespaces");
  const byte = new Uint8Array(1);
  must(sys.write(writer, byte.buffer, 0, 1), "say that they are there");
  sys.close(writer);
  sys.poll1(-1, 0, HELPER_WAITS_MS);
  return 0;
}

/** Its user is itself in there. */
function held(helper: number, uid: number, gid: number): UplinkNamespaces {
  const at = `/proc/${helper}`;
  writeControl(`${at}/uid_map`, `${uid} ${uid} 1`);
  writeControl(`${at}/gid_map`, `${gid} ${gid} 1`);
  const user = must(sys.open(`${at}/ns/user`, sys.O_RDONLY), "hold a user namespace");
  const network = sys.open(`${at}/ns/net`, sys.O_RDONLY);
  if (network >= 0) return { user, network };
  sys.close(user);
  throw refused(network, "hold a network namespace");
}

/** It stays without a descriptor, so it can be joined to others before a process serves it, and between two. */
function makeTap(name: string): void {
  const fd = must(sys.tapOpen(name), "make a tap");
  const kept = sys.tapPersist(fd);
  sys.close(fd);
  must(kept, "keep a tap");
}

/**
 * In a child, whose new root is at `root`: what a process that serves an uplink finds there. The device is one of the jail's
 * own, because hosts disagree on who may open theirs.
 */
export function placeUplink({ user, network }: UplinkNamespaces, root: string): void {
  placeNamespace(user, root + UPLINK_USER);
  placeNamespace(network, root + UPLINK_NETWORK);
  makeDirectories(`${root}/tmp`);
  const { directory, name, major, minor } = TUN_DEVICE;
  makeDirectories(root + directory);
  must(
    sys.mount("devices", root + directory, "tmpfs", DEVICE_FLAGS, DEVICE_OPTIONS),
    "make room for a device",
  );
  must(sys.mknod(root + name, sys.S_IFCHR | 0o666, major, minor), "make a device");
  must(
    sys.mountSetattr(sys.AT_FDCWD, root + directory, 0, sys.MOUNT_ATTR_RDONLY, 0),
    "keep a device as it is",
  );
}

function placeNamespace(fd: number, path: string): void {
  makeDirectories(path.slice(0, path.lastIndexOf("/")));
  sys.close(must(sys.open(path, sys.O_WRONLY | sys.O_CREAT, 0o444), "make a file"));
  const tree = must(
    sys.openTree(fd, "", sys.OPEN_TREE_CLONE | sys.AT_EMPTY_PATH),
    "take hold of a namespace",
  );
  must(sys.moveMount(tree, "", sys.AT_FDCWD, path, sys.MOVE_MOUNT_F_EMPTY_PATH), "place a namespace");
  sys.close(tree);
}

function pipe(): [number, number] {
  const ends = sys.pipe2(sys.O_NONBLOCK);
  if (typeof ends === "number") throw refused(ends, "make a pipe");
  return [ends[0], ends[1]];
}

function closeBoth({ user, network }: UplinkNamespaces): void {
  sys.close(user);
  sys.close(network);
}

function must(result: number, operation: string): number {
  if (result >= 0) return result;
  throw refused(result, operation);
}

function refused(result: number, operation: string): BlazarError {
  return failure(result, result === -sys.EPERM ? "PermissionDenied" : "HostResource", operation);
}
