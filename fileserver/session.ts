/**
 * What one guest has of the share: its fids, with the files that they have open.
 *
 * Everything that a guest can make grow is bounded here. A new Tversion forgets all of it, as the protocol says. Must not
 * know any message.
 */
import * as sys from "sys";
import { type Node, NodeTree } from "./nodes.ts";

/** Fids at most, and the memory that they need. An honest guest has one for each name in its cache of some 2 KB. */
const MOST_FIDS = 250_000;
export const MEMORY_LIMIT_BYTES = 192 * 2 ** 20;
/** Descriptors for nodes at most: more only save a second opening. */
const MOST_NODES_OPEN = 8192;
/** For standard streams, sockets and the share itself. */
const RESERVED = 64;
const LEAST_LIMIT = 256;

/** A number of the guest's that stands for a file. */
export class Fid {
  /** The file's descriptor once it is open, or -1. */
  file = -1;
  /** Set if the fid stands for an extended attribute, or for the list of them. */
  attribute: ArrayBuffer | undefined;

  constructor(readonly node: Node) {}

  get isOpen(): boolean {
    return this.file >= 0 || this.attribute !== undefined;
  }
}

export class Session {
  readonly tree: NodeTree;
  /** Longest message, as agreed; 0 before there is an agreement. */
  messageBytes = 0;
  private readonly fids = new Map<number, Fid>();
  private readonly mostFiles: number;
  private filesOpen = 0;

  /**
   * @param root a descriptor of the share's directory
   * @param descriptors how many this process may have
   */
  constructor(root: number, descriptors: number) {
    const limit = Math.max(LEAST_LIMIT, descriptors) - RESERVED;
    const nodes = Math.min(MOST_NODES_OPEN, limit >> 1);
    this.tree = new NodeTree(root, nodes);
    this.mostFiles = limit - nodes;
  }

  find(number: number): Fid | undefined {
    return this.fids.get(number);
  }

  /** Binds a fid to a node that the caller holds; the fid holds it then. -errno: the caller still holds it. */
  bind(number: number, node: Node): Fid | number {
    if (this.fids.has(number)) return -sys.EINVAL;
    if (this.fids.size >= MOST_FIDS) return -sys.ENFILE;
    const fid = new Fid(node);
    this.fids.set(number, fid);
    return fid;
  }

  /** Opens the fid's file; 0 or -errno. */
  open(fid: Fid): number {
    if (this.filesOpen >= this.mostFiles) return -sys.ENFILE;
    const fd = this.tree.openContent(fid.node);
    if (fd < 0) return fd;
    fid.file = fd;
    this.filesOpen++;
    return 0;
  }

  /** False if there is no such fid. */
  clunk(number: number): boolean {
    const fid = this.fids.get(number);
    if (fid === undefined) return false;
    this.fids.delete(number);
    this.close(fid);
    return true;
  }

  /** Forgets everything, for the guest to begin anew. */
  reset(messageBytes: number): void {
    this.messageBytes = messageBytes;
    for (const fid of this.fids.values()) this.close(fid);
    this.fids.clear();
  }

  private close(fid: Fid): void {
    if (fid.file >= 0) {
      sys.close(fid.file);
      this.filesOpen--;
    }
    this.tree.release(fid.node);
  }
}
