/**
 * What one guest has of the share: the files that it knows, those that it has open, and its locks.
 *
 * Everything that a guest can make grow is bounded here. Must not know any message.
 */
import * as sys from "sys";
import type { UserNamespaceMaps } from "../src/contracts/id-maps.ts";
import { Contents } from "./contents.ts";
import type { Handle } from "./handle.ts";
import { Locks } from "./locks.ts";
import { type Node, NodeTree } from "./nodes.ts";
import { Owners } from "./owners.ts";
import type { Request } from "./wire.ts";

/**
 * Files that a guest may know: 0.4 KB each, from the memory of its pod (docs/sizing.md). Those of volumes give way to
 * others; what a guest knows of layers it never looks up again.
 */
const MOST_NODES = { layers: 250_000, volumes: 32_768 };
export const MEMORY_LIMIT_BYTES = 192 * 2 ** 20;
/** Descriptors for nodes at most: more only save a second opening, and each keeps 1.5 KB of the kernel's memory. */
const MOST_NODES_OPEN = 2048;
/** For standard streams, sockets and the share itself. */
const RESERVED = 64;
const LEAST_LIMIT = 256;
/** Of open(2)'s flags. */
const WRITES = sys.O_WRONLY | sys.O_RDWR | sys.O_TRUNC;

export interface SessionOptions {
  /** A descriptor of the share's directory. */
  readonly root: number;
  /** How many descriptors this process may have. */
  readonly descriptors: number;
  /** Whether the guest may change files, as far as the host's mounts let it. */
  readonly writable: boolean;
  /** What files' owners are for the guest; undefined: the host's ids. */
  readonly maps: UserNamespaceMaps | undefined;
}

export class Session {
  readonly tree: NodeTree;
  readonly locks: Locks;
  readonly owners: Owners;
  private readonly contents: Contents;
  readonly writable: boolean;
  /** The server's own, whose files are new ones. */
  readonly uid: number;
  /** The guest has begun: there is an agreement. */
  begun = false;
  private readonly handles = new Map<number, Handle>();
  private readonly mostFiles: number;
  private nextHandle = 1;
  private wait: () => number = () => 0;

  constructor({ root, descriptors, writable, maps }: SessionOptions) {
    const limit = Math.max(LEAST_LIMIT, descriptors) - RESERVED;
    const nodes = Math.min(MOST_NODES_OPEN, limit >> 1);
    this.tree = new NodeTree(root, nodes, writable ? MOST_NODES.volumes : MOST_NODES.layers, writable);
    this.mostFiles = (limit - nodes) >> 1;
    this.locks = new Locks(this.mostFiles >> 1);
    this.contents = new Contents(this.tree, this.mostFiles >> 1);
    this.writable = writable;
    this.owners = new Owners(maps);
    this.uid = sys.getids().euid;
  }

  /** The file that a request is about; undefined: it is no more. */
  node({ nodeId }: Request): Node | undefined {
    return this.tree.get(nodeId);
  }

  /** An open file of the guest's; undefined: there is none of this number. */
  handle(number: number): Handle | undefined {
    return this.handles.get(number);
  }

  /** Opens a node's file; its number, or -errno. Devices, FIFOs and sockets are the guest's own affair. */
  open(node: Node, flags: number): number {
    const { kind } = node;
    if (kind !== sys.S_IFREG && kind !== sys.S_IFDIR) return kind === sys.S_IFLNK ? -sys.ELOOP : -sys.ENXIO;
    if (node.mount.readonly && (flags & WRITES) !== 0) return -sys.EROFS;
    if (this.isFull) return -sys.ENFILE;
    const own = this.tree.fdOf(node);
    if (own < 0) return own;
    const fd = sys.reopen(own, flags | sys.O_NONBLOCK);
    return fd < 0 ? fd : this.add(node, fd);
  }

  /**
   * The descriptor of an open file. A file of a share that is read-only need not be opened: it has the number 0 then, and is
   * opened here. -errno if there is none.
   */
  content(number: number, request: Request): number {
    if (number !== 0 || this.writable) return this.handles.get(number)?.fd ?? -sys.EBADF;
    const node = this.node(request);
    if (node === undefined) return -sys.ESTALE;
    return this.contents.descriptorOf(node, () => this.openUnseen(node));
  }

  private openUnseen(node: Node): number {
    const { kind } = node;
    if (kind !== sys.S_IFREG && kind !== sys.S_IFDIR) return -sys.EBADF;
    const own = this.tree.fdOf(node);
    return own < 0 ? own : sys.reopen(own, sys.O_RDONLY | sys.O_NONBLOCK);
  }

  /** Lets go of what was not used for a while. */
  grow(): void {
    this.tree.grow();
    this.contents.grow();
  }

  /** No more files can be opened. */
  get isFull(): boolean {
    return this.handles.size >= this.mostFiles;
  }

  /** Gives an open file to the guest; its number. */
  add(node: Node, fd: number): number {
    const number = this.nextHandle++;
    this.tree.hold(node);
    this.handles.set(number, { node, fd });
    return number;
  }

  /** What answers the request that is to be answered later; it runs in a child. */
  setWait(wait: () => number): void {
    this.wait = wait;
  }

  takeWait(): () => number {
    return this.wait;
  }

  /** The guest has closed a file for the last time. */
  close(number: number): void {
    const handle = this.handles.get(number);
    if (handle === undefined) return;
    this.handles.delete(number);
    this.locks.closed(number);
    sys.close(handle.fd);
    this.tree.release(handle.node);
  }
}
