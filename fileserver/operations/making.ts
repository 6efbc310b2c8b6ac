/**
 * New files: FUSE_CREATE, FUSE_MKNOD, FUSE_MKDIR, FUSE_SYMLINK, FUSE_LINK.
 *
 * The server makes a file as itself and gives it to whoever asks, as the kernel would have made it: with the group of a
 * directory that hands its group down (S_ISGID, inode(7)), and with the asker's umask unless the directory has a default
 * ACL, which is the host kernel's to decide.
 */
import * as sys from "sys";
import type { Node } from "../nodes.ts";
import type { Session } from "../session.ts";
import type { Reply, Request } from "../wire.ts";
import { openFlags, putOpen } from "./files.ts";
import { type Operation, ofNode, putEntry } from "./operation.ts";

/** The bits of a mode that a change of the owner takes away. */
const SET_IDS = 0o6000;
const PERMISSIONS = 0o7777;
const AS_IT_IS = 0xffff_ffff;

/** An operation of somebody who can own what it makes. */
function ofMaker(answer: Parameters<typeof ofNode>[0]): Operation {
  return ofNode((parent, session, request, reply) =>
    session.owners.canOwn(request) ? answer(parent, session, request, reply) : -sys.EOVERFLOW,
  );
}

export const create = ofMaker((parent, session, request, reply) => {
  const [flags, mode, umask] = [request.u32(), request.u32(), request.u32()];
  request.skip(4);
  const name = request.name();
  if (typeof name === "number") return name;
  if (session.isFull) return -sys.ENFILE;
  const directory = session.tree.fdOf(parent);
  if (directory < 0) return directory;
  const wanted = openFlags(flags);
  const making = wanted | sys.O_CREAT | sys.O_EXCL | sys.O_NONBLOCK;
  const file = underMask(umask, () => sys.openEntry(directory, name, making, mode & PERMISSIONS));
  if (file === -sys.EEXIST && (flags & sys.O_EXCL) === 0)
    return openExisting(parent, name, wanted, session, reply);
  if (file < 0) return file;
  const node = own(file, parent, session, request, mode) || session.tree.adopt(parent, name, file);
  if (typeof node === "number") {
    sys.close(file);
    return node;
  }
  putEntry(reply, node, session.tree.found, session);
  putOpen(reply, session.add(node, file), session);
  return 0;
});

/** Somebody else was first. */
function openExisting(parent: Node, name: string, flags: number, session: Session, reply: Reply): number {
  const node = session.tree.lookUp(parent, name);
  if (typeof node === "number") return node;
  const number = session.open(node, flags);
  if (number < 0) {
    session.tree.forget(node.id, 1);
    return number;
  }
  const read = session.tree.stat(node);
  if (read < 0) return read;
  putEntry(reply, node, session.tree.found, session);
  putOpen(reply, number, session);
  return 0;
}

export const mknod = ofMaker((parent, session, request, reply) => {
  const mode = request.u32();
  request.skip(4);
  const umask = request.u32();
  request.skip(4);
  return make(parent, session, request, reply, { mode, umask });
});

export const mkdir = ofMaker((parent, session, request, reply) => {
  const [mode, umask] = [request.u32(), request.u32()];
  return make(parent, session, request, reply, { mode: (mode & PERMISSIONS) | sys.S_IFDIR, umask });
});

function make(
  parent: Node,
  session: Session,
  request: Request,
  reply: Reply,
  { mode, umask }: { readonly mode: number; readonly umask: number },
): number {
  const name = request.name();
  if (typeof name === "number") return name;
  const directory = session.tree.fdOf(parent);
  if (directory < 0) return directory;
  const made = underMask(umask, () => sys.makeEntry(directory, name, mode));
  return made < 0 ? made : settle(parent, name, session, request, reply, mode);
}

export const symlink = ofMaker((parent, session, request, reply) => {
  const name = request.name();
  if (typeof name === "number") return name;
  const [at, length] = request.string();
  const directory = session.tree.fdOf(parent);
  if (directory < 0) return directory;
  const made = sys.symlinkEntry(directory, name, request.bytes, at, length);
  return made < 0 ? made : settle(parent, name, session, request, reply, 0);
});

/** Gives what was just made to whoever asked, and tells of it. */
function settle(
  parent: Node,
  name: string,
  session: Session,
  request: Request,
  reply: Reply,
  mode: number,
): number {
  const { tree } = session;
  const node = tree.lookUp(parent, name);
  if (typeof node === "number") return node;
  // what somebody else has put there meanwhile is theirs
  const isNew = tree.found.owner === session.uid;
  const fd = tree.fdOf(node);
  const owned = fd < 0 || !isNew ? Math.min(fd, 0) : own(fd, parent, session, request, mode);
  const read = owned < 0 ? owned : tree.found.read(fd);
  if (read < 0) {
    tree.forget(node.id, 1);
    return read;
  }
  putEntry(reply, node, tree.found, session);
  return 0;
}

/**
 * Makes a new file the asker's. A server that may not do that leaves it its own: so it is where servers have no
 * capabilities, and all files are one user's.
 */
function own(fd: number, parent: Node, { tree, owners }: Session, request: Request, mode: number): number {
  const read = tree.stat(parent);
  if (read < 0) return read;
  const handsDown = (tree.found.mode & 0o2000) !== 0;
  const [uid, gid] = [owners.uids.toHost(request.uid), owners.gids.toHost(request.gid)];
  const changed = sys.chownEntry(fd, uid, handsDown ? AS_IT_IS : gid);
  if (changed < 0) return changed === -sys.EPERM ? 0 : changed;
  if ((mode & sys.S_IFMT) === sys.S_IFDIR || (mode & SET_IDS) === 0) return 0;
  const kept = tree.found.read(fd);
  return kept < 0 ? kept : sys.chmodEntry(fd, (tree.found.mode & PERMISSIONS) | (mode & SET_IDS));
}

export const link = ofNode((parent, session, request, reply) => {
  const { tree } = session;
  const node = tree.get(request.u64());
  const name = request.name();
  if (typeof name === "number") return name;
  if (node === undefined) return -sys.ESTALE;
  const [directory, fd] = [tree.fdOf(parent), tree.fdOf(node)];
  if (directory < 0 || fd < 0) return Math.min(directory, fd);
  const linked = sys.linkEntry(fd, directory, name);
  if (linked < 0) return linked;
  const found = tree.lookUp(parent, name);
  if (typeof found === "number") return found;
  putEntry(reply, found, tree.found, session);
  return 0;
});

function underMask<T>(mask: number, work: () => T): T {
  sys.umask(mask & 0o777);
  try {
    return work();
  } finally {
    sys.umask(0);
  }
}
