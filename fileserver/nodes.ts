/**
 * The files that the guest knows: a tree of names, each with a descriptor that gives no access (O_PATH, open(2)).
 *
 * A walk opens one name below its parent's descriptor and follows no symlink; ".." is the parent in this tree, and the
 * root's is the root. So no path is ever put together, and nothing leads out. A guest may know more files than a process
 * may have open: the descriptors that were not used for longest are closed and opened again by name. A name that means
 * another file by then is stale.
 */
import * as sys from "sys";
import { type Facts, type Mount, Mounts, StatBuffer } from "./identities.ts";

/** One file, as long as a fid or a file below it needs it. */
export class Node {
  /** The descriptor, or -1. */
  fd: number;
  /** Fids and nodes that hold it. */
  users = 1;
  /** The tree's age when the descriptor was last used. */
  usedAt = 0;

  constructor(
    readonly parent: Node | undefined,
    readonly name: string,
    fd: number,
    readonly mount: Mount,
    /** S_IF*. */
    readonly kind: number,
    readonly pathHigh: number,
    readonly pathLow: number,
  ) {
    this.fd = fd;
  }
}

export class NodeTree {
  readonly root: Node;
  /** Where the last stat of {@link child} and {@link stat} is. */
  readonly found = new StatBuffer();
  private readonly mounts = new Mounts();
  /** Nodes with a descriptor, those that were not used for longest first; never the root. */
  private readonly open = new Map<Node, true>();
  private age = 1;

  /**
   * @param fd the share's directory
   * @param budget descriptors that nodes may have at a time
   */
  constructor(
    fd: number,
    private readonly budget: number,
  ) {
    const read = this.found.read(fd);
    const { mountId, kind, inodeLow } = this.found;
    const mount = this.mounts.enter(mountId, "share");
    if (read < 0 || typeof mount === "number") throw new Error(`the share cannot be read: ${read}`);
    this.root = new Node(undefined, ".", fd, mount, kind, mount.pathHigh(this.found), inodeLow);
  }

  /** The file of this name below a directory; the caller holds it. `found` has its stat. -errno if there is none. */
  child(parent: Node, name: string): Node | number {
    const directory = this.fdOf(parent);
    if (directory < 0) return directory;
    const fd = sys.openEntry(directory, name, sys.O_PATH);
    if (fd < 0) return fd;
    const child = this.identified(parent, name, fd);
    if (typeof child === "number") {
      sys.close(fd);
      return child;
    }
    parent.users++;
    this.remember(child);
    return child;
  }

  /** The directory above; the root's is the root. The caller holds it. */
  above(node: Node): Node {
    return this.hold(node.parent ?? node);
  }

  hold(node: Node): Node {
    node.users++;
    return node;
  }

  /** Lets go of a node, and of those that only it held. */
  release(node: Node): void {
    for (let each: Node | undefined = node; each !== undefined && --each.users === 0; each = each.parent)
      this.shut(each);
  }

  /** A descriptor of the node, for use at once: the next call may close it. -errno, -ESTALE if it is another file now. */
  fdOf(node: Node): number {
    if (node.fd >= 0) {
      if (node.usedAt !== this.age && this.open.delete(node)) this.keep(node);
      return node.fd;
    }
    const closed: Node[] = [];
    let from = node;
    while (from.fd < 0 && from.parent !== undefined) {
      closed.push(from);
      from = from.parent;
    }
    for (let next = closed.pop(); next !== undefined; next = closed.pop()) {
      const fd = this.reopen(next, from.fd);
      if (fd < 0) return fd;
      from = next;
    }
    return node.fd;
  }

  /** Reads a node's stat into `found`; 0 or -errno. */
  stat(node: Node): number {
    const fd = this.fdOf(node);
    return fd < 0 ? fd : this.found.read(fd);
  }

  /** Opens the file itself, for reading; -ESTALE if the name means another one. */
  openContent(node: Node): number {
    const { parent } = node;
    const directory = this.fdOf(parent ?? node);
    if (directory < 0) return directory;
    const flags = sys.O_RDONLY | sys.O_NONBLOCK | (node.kind === sys.S_IFDIR ? sys.O_DIRECTORY : 0);
    const fd = sys.openEntry(directory, node.name, flags);
    if (fd < 0) return fd;
    const stale = this.checked(node, fd);
    if (stale < 0) sys.close(fd);
    return stale < 0 ? stale : fd;
  }

  /** The upper half of the qid path of a directory's entry, whose lower half is the inode's. */
  entryPathHigh(directory: Node, name: () => string | number, facts: Facts): number {
    if (facts.mountId === directory.mount.id) return directory.mount.pathHigh(facts);
    const entry = name();
    const node = typeof entry === "number" ? entry : this.child(directory, entry);
    if (typeof node === "number") return node;
    this.release(node);
    return node.pathHigh;
  }

  /**
   * Called from time to time: closes the descriptors that were not used since the call before. A mount that the host has
   * taken away lives as long as somebody has a descriptor in it, and so do deleted files.
   */
  grow(): void {
    for (const node of this.open.keys()) {
      if (node.usedAt === this.age) break;
      this.shut(node);
    }
    this.age++;
  }

  private identified(parent: Node, name: string, fd: number): Node | number {
    const { found } = this;
    const read = found.read(fd);
    if (read < 0) return read;
    const mount = this.mountOf(parent, name, fd);
    if (typeof mount === "number") return mount;
    const high = mount.pathHigh(found);
    return high < 0 ? high : new Node(parent, name, fd, mount, found.kind, high, found.inodeLow);
  }

  /** The mount of what `found` is about. Another mount than the parent's begins here: who it is, is told by its place. */
  private mountOf(parent: Node, name: string, fd: number): Mount | number {
    const { found, mounts } = this;
    const { mountId } = found;
    if (mountId === parent.mount.id) return parent.mount;
    const root = found.birth;
    const above = this.fdOf(parent);
    const read = above < 0 ? above : found.read(above);
    if (read < 0) return read;
    const key = `${parent.pathHigh}.${parent.pathLow}.${found.birth}/${name}/${mountId}/${root}`;
    const again = found.read(fd);
    return again < 0 ? again : mounts.enter(mountId, key);
  }

  private reopen(node: Node, directory: number): number {
    const fd = sys.openEntry(directory, node.name, sys.O_PATH);
    if (fd < 0) return fd;
    const stale = this.checked(node, fd);
    if (stale < 0) {
      sys.close(fd);
      return stale;
    }
    node.fd = fd;
    this.remember(node);
    return fd;
  }

  /** 0 if the descriptor is of the node's file. */
  private checked(node: Node, fd: number): number {
    const { parent } = node;
    const same = parent === undefined ? node : this.identified(parent, node.name, fd);
    if (typeof same === "number") return same;
    return same.pathHigh === node.pathHigh && same.pathLow === node.pathLow ? 0 : -sys.ESTALE;
  }

  /** Nodes that are just being used are the youngest, and a budget has room for more than these. */
  private remember(node: Node): void {
    this.keep(node);
    if (this.open.size <= this.budget) return;
    const oldest = this.open.keys().next().value;
    if (oldest !== undefined) this.shut(oldest);
  }

  private keep(node: Node): void {
    node.usedAt = this.age;
    this.open.set(node, true);
  }

  private shut(node: Node): void {
    if (!this.open.delete(node)) return;
    sys.close(node.fd);
    node.fd = -1;
  }
}
