/**
 * A jail: namespaces of a child's own and a root in which there is nothing of the host but what its spec names.
 *
 * Follows mount_namespaces(7), pid_namespaces(7), user_namespaces(7), pivot_root(2). {@link Jailing} runs in the forked
 * child, and {@link unmountTemporary} in a helper of the keeper: the keeper itself never leaves its mount namespace.
 */
import * as sys from "sys";
import { check, checkValue, failure } from "../../native/runtime/check.ts";
import { cloneChild } from "../../native/runtime/child.ts";
import { makeDirectories, writeControl } from "../../native/runtime/files.ts";
import { blazarError } from "../../src/contracts/errors.ts";
import type { Jail } from "../../src/protocol/keeper/messages.ts";
import { outOfTheWay } from "./parked.ts";
import { placeUplink, type UplinkNamespaces } from "./uplinks.ts";

type JailMount = Jail["mounts"][number];

/** Where the new root is made. Nothing that a jail may have lies below, and every host has it. */
const PLACE = "/proc";
const PROC = "/proc";
/** Directories and files of a root; there is no room for anything else. */
const ROOT_OPTIONS = "mode=755,size=64k,nr_inodes=256";
/** The process sees itself and nothing of the kernel's. */
const PROC_OPTIONS = "hidepid=invisible,subset=pid";
const HARMLESS = sys.MS_NOSUID | sys.MS_NODEV | sys.MS_NOEXEC;
const NAMESPACES = sys.CLONE_NEWNS | sys.CLONE_NEWIPC | sys.CLONE_NEWUTS;
const HOST_NAME = "jail";
const MAPPED = "m";

/** Flags of clone(2) for a process that gets this jail. */
export function cloneFlags(jail: Jail | undefined): number {
  return jail === undefined || jail.forks !== undefined ? 0 : sys.CLONE_NEWPID;
}

/** Enters namespaces of its own, with the host's files still there. */
export function enterNamespaces({ mounts, uplink }: Jail): void {
  for (const { source, follow } of mounts) if (follow) makeShared(source);
  must(sys.unshare(NAMESPACES | (uplink === undefined ? sys.CLONE_NEWNET : 0)), "make namespaces");
  must(sys.sethostname(HOST_NAME), "name the host of a jail");
  // What is mounted here does not reach the host; what the host mounts comes in.
  must(sys.mount(null, "/", null, sys.MS_REC | sys.MS_SLAVE), "part from the host's mounts");
}

/** On the host: mounts below the directory are to be seen in other namespaces. */
function makeShared(directory: string): void {
  // refused unless it is a mount already: another one would hide what is mounted below it
  if (sys.mount(null, directory, null, sys.MS_SHARED) >= 0) return;
  must(sys.mount(directory, directory, null, sys.MS_BIND), "make a mount of a directory", directory);
  must(sys.mount(null, directory, null, sys.MS_SHARED), "share a mount", directory);
}

/** Leaves the host's files. */
export function enterRoot({ mounts, proc }: Jail, uplink?: UplinkNamespaces): void {
  must(sys.mount("jail", PLACE, "tmpfs", HARMLESS, ROOT_OPTIONS), "make a root");
  for (const mount of mounts) bind(mount);
  if (uplink !== undefined) placeUplink(uplink, PLACE);
  if (proc) {
    makeDirectories(PLACE + PROC);
    must(sys.mount("proc", PLACE + PROC, "proc", HARMLESS, PROC_OPTIONS), "mount proc");
  }
  must(sys.chdir(PLACE), "enter a root");
  must(sys.pivotRoot(".", "."), "change the root");
  must(sys.umount2(".", sys.MNT_DETACH), "leave the host's files");
  must(sys.chdir("/"), "enter a root");
  setRootReadonly(true);
}

function bind({ source, target, readonly, follow }: JailMount): void {
  const stat = sys.lstat(source);
  if (typeof stat === "number") throw failure(stat, "HostResource", "find what a jail shall have", source);
  const place = PLACE + target;
  makeDirectories(place.slice(0, place.lastIndexOf("/")));
  const type = stat.mode & sys.S_IFMT;
  if (type === sys.S_IFLNK) {
    const link = checkValue(sys.readlink(source), "read a link", source);
    must(sys.symlink(link, place), "make a link", target);
    return;
  }
  if (type === sys.S_IFDIR) makeDirectories(place);
  else sys.close(check(sys.open(place, sys.O_WRONLY | sys.O_CREAT, 0o444), "make a file", target));
  must(sys.mount(source, place, null, sys.MS_BIND | (follow ? sys.MS_REC : 0)), "bind into a jail", source);
  const attributes =
    sys.MOUNT_ATTR_NOSUID |
    (readonly ? sys.MOUNT_ATTR_RDONLY : 0) |
    (type === sys.S_IFCHR ? 0 : sys.MOUNT_ATTR_NODEV);
  const propagation = follow ? sys.MS_SLAVE : sys.MS_PRIVATE;
  const set = sys.mountSetattr(
    sys.AT_FDCWD,
    place,
    follow ? sys.AT_RECURSIVE : 0,
    attributes,
    0,
    propagation,
  );
  must(set, "restrict a mount", source);
  // What is mounted below it later is to be changed, perhaps; itself it is a directory of the host's, which holds the places.
  if (follow) {
    const kept = sys.mountSetattr(sys.AT_FDCWD, place, 0, sys.MOUNT_ATTR_RDONLY, 0);
    must(kept, "keep a directory as it is", source);
  }
}

/**
 * Gives this process a user namespace with the ids that its copies may have, each mapped to itself. Only a process outside
 * may write such a map, so `begin` starts one and `enter`, after the root has changed, waits for it.
 */
export class UserNamespace {
  private constructor(
    private readonly helper: number,
    private readonly go: number,
  ) {}

  static begin({ firstUid, count }: NonNullable<Jail["forks"]>): UserNamespace {
    const [reader, writer] = checkValue(sys.pipe2(0), "make a pipe");
    const pid = sys.getpid();
    const helper = cloneChild({}, () => {
      sys.close(writer);
      const buffer = new Uint8Array(1);
      if (sys.read(reader, buffer.buffer, 0, 1) !== 1) return 1;
      const map = `${firstUid} ${firstUid} ${count}`;
      writeControl(`/proc/${pid}/uid_map`, map);
      writeControl(`/proc/${pid}/gid_map`, map);
      return 0;
    });
    const go = outOfTheWay(writer, "a pipe");
    for (const fd of [reader, writer]) sys.close(fd);
    return new UserNamespace(helper, go);
  }

  enter(): void {
    must(sys.unshare(sys.CLONE_NEWUSER), "make a user namespace");
    const mark = new Uint8Array([MAPPED.charCodeAt(0)]);
    check(sys.write(this.go, mark.buffer, 0, 1), "ask for a map of users");
    sys.close(this.go);
    const [, status] = sys.waitpid(this.helper, 0);
    if (status !== 0) throw blazarError("HostResource", "map users", "it was refused; see the keeper's log");
  }
}

/** In a helper of the keeper: takes what is temporary from the jail of the process `pid`. Leaves an empty root if all is. */
export function unmountTemporary(pid: number, { mounts, proc, keepsProc }: Jail): void {
  const path = `/proc/${pid}/ns/mnt`;
  const namespace = check(sys.open(path, sys.O_RDONLY), "open a mount namespace", path);
  must(sys.setns(namespace, sys.CLONE_NEWNS), "enter a jail");
  setRootReadonly(false);
  const targets = mounts.filter(({ temporary }) => temporary).map(({ target }) => target);
  if (proc && keepsProc !== true) targets.push(PROC);
  for (const target of targets.reverse()) remove(target);
  setRootReadonly(true);
}

function remove(target: string): void {
  const stat = sys.lstat(target);
  if (typeof stat === "number") throw failure(stat, "HostResource", "find a temporary mount", target);
  if ((stat.mode & sys.S_IFMT) !== sys.S_IFLNK)
    must(sys.umount2(target, sys.MNT_DETACH | sys.UMOUNT_NOFOLLOW), "take a mount from a jail", target);
  if (sys.unlink(target) < 0) sys.rmdir(target);
  for (let parent = above(target); parent !== "" && sys.rmdir(parent) === 0; ) parent = above(parent);
}

function above(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function setRootReadonly(readonly: boolean): void {
  const attribute = sys.MOUNT_ATTR_RDONLY;
  const [set, clear] = readonly ? [attribute, 0] : [0, attribute];
  must(sys.mountSetattr(sys.AT_FDCWD, "/", 0, set, clear), "set the attributes of a root");
}

function must(result: number, operation: string, subject?: string): void {
  if (result >= 0) return;
  throw failure(result, result === -sys.EPERM ? "PermissionDenied" : "HostResource", operation, subject);
}
