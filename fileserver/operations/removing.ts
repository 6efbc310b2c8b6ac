/**
 * Names that go or change: FUSE_UNLINK, FUSE_RMDIR, FUSE_RENAME, FUSE_RENAME2.
 *
 * What loses its name keeps its descriptor, because the guest may have the file open.
 */
import * as sys from "sys";
import type { Node } from "../nodes.ts";
import type { Session } from "../session.ts";
import type { Request } from "../wire.ts";
import { ofNode } from "./operation.ts";

const NOREPLACE = 1;
const EXCHANGE = 2;

export const unlink = ofNode((parent, session, request) => remove(parent, session, request, false));
export const rmdir = ofNode((parent, session, request) => remove(parent, session, request, true));

function remove(parent: Node, { tree }: Session, request: Request, isDirectory: boolean): number {
  const name = request.name();
  if (typeof name === "number") return name;
  const directory = tree.fdOf(parent);
  if (directory < 0) return directory;
  const node = tree.peek(parent, name);
  if (node !== undefined) tree.unname(node);
  const removed = sys.unlinkEntry(directory, name, isDirectory);
  if (removed < 0 && node !== undefined) tree.moveTo(node, parent, name);
  return removed;
}

export const rename = ofNode((from, session, request) => move(from, session, request, request.u64(), 0));

export const rename2 = ofNode((from, session, request) => {
  const target = request.u64();
  const flags = request.u32();
  request.skip(4);
  if ((flags & ~(NOREPLACE | EXCHANGE)) !== 0) return -sys.EINVAL;
  return move(from, session, request, target, flags);
});

function move(from: Node, { tree }: Session, request: Request, target: number, flags: number): number {
  const [oldName, newName] = [request.name(), request.name()];
  const to = tree.get(target);
  if (to === undefined) return -sys.ESTALE;
  if (typeof oldName === "number") return oldName;
  if (typeof newName === "number") return newName;
  const moved = tree.peek(from, oldName);
  const replaced = tree.peek(to, newName);
  const [source, destination] = [tree.fdOf(from), tree.fdOf(to)];
  if (source < 0 || destination < 0) return Math.min(source, destination);
  if (replaced !== undefined) tree.unname(replaced);
  const result = sys.renameEntry(source, oldName, destination, newName, flags);
  if (result < 0) {
    if (replaced !== undefined) tree.moveTo(replaced, to, newName);
    return result;
  }
  if (replaced !== undefined && (flags & EXCHANGE) !== 0) tree.moveTo(replaced, from, oldName);
  if (moved !== undefined) tree.moveTo(moved, to, newName);
  return 0;
}
