/**
 * The files that the guest knows, by the number that it calls them (nodeid): each with a descriptor that gives no access
 * (O_PATH, open(2)), its place in the tree, and how often the guest has looked it up.
 *
 * A look-up opens one name below its directory's descriptor and follows no symlink. So no path is ever put together, and
 * nothing leads out. All names of one file are one node. A guest may know more files than a process may have open: the
 * descriptors that were not used for longest are closed and opened again by name; a name that means another file by then is
 * stale. A file that has lost its name keeps its descriptor.
 */
import * as sys from "sys";
import { isReadonlyVolume } from "../src/contracts/volume-names.ts";
import { type Mount, Mounts, StatBuffer } from "./identities.ts";
import { NodeIndex } from "./node-index.ts";

/** Number of the share's own directory (FUSE_ROOT_ID). */
const ROOT_ID = 1;

/** Nodes that are looked at for one that may be forgotten. */
const MOST_TRIES = 1000;

/** One file, as long as the guest or a file below it needs it. */
export class Node {
  /** The descriptor, or -1. */
  fd = -1;
  /** Look-ups that the guest has not forgotten. */
  lookups = 0;
  /** Open files and nodes that hold it. */
  users = 0;
  /** The tree's age when the descriptor was last used. */
  usedAt = 0;
  /** It cannot be opened by name again. */
  nameless = false;

  constructor(
    readonly id: number,
    public parent: Node | undefined,
    public name: string,
    readonly mount: Mount,
    /** S_IF*. */
    readonly kind: number,
    /** The number that the guest sees as its inode's, in halves. */
    readonly high: number,
    readonly low: number,
    readonly bornLow: number,
    readonly bornNanoseconds: number,
  ) {}
}

export class NodeTree {
  readonly root: Node;
  /** Where the last stat of a node is. */
  readonly found = new StatBuffer();
  private readonly above = new StatBuffer();
  private readonly mounts = new Mounts();
  private readonly nodes = new Map<number, Node>();
  private readonly index = new NodeIndex<Node>();
  /** Nodes whose descriptor may be closed, those that were not used for longest first. */
  private readonly open = new Map<Node, true>();
  private nameless = 0;
  private nextId = ROOT_ID;
  private age = 1;

  /**
   * @param fd the share's directory
   * @param budget descriptors that nodes may have at a time
   * @param most nodes at a time
   * @param evicts whether those that were not looked up for longest give way to others: the guest looks them up again
   */
  constructor(
    fd: number,
    private readonly budget: number,
    private readonly most: number,
    private readonly evicts: boolean,
  ) {
    const read = this.found.read(fd);
    const mount = this.mounts.enter(this.found.mountId, "share", false);
    if (read < 0 || typeof mount === "number") throw new Error(`the share cannot be read: ${read}`);
    this.root = this.add(undefined, ".", mount, mount.high(this.found));
    this.root.fd = fd;
    this.root.users = 1;
  }

  get size(): number {
    return this.nodes.size;
  }

  /** The node with this number; undefined if the guest has forgotten it. */
  get(id: number): Node | undefined {
    return this.nodes.get(id);
  }

  /** The file of this name below a directory, looked up once more. `found` has its stat. -errno if there is none. */
  lookUp(parent: Node, name: string): Node | number {
    const node = this.find(parent, name);
    if (typeof node !== "number") node.lookups++;
    return node;
  }

  /** The same for what an open file is that was just made under this name. */
  adopt(parent: Node, name: string, file: number): Node | number {
    const fd = sys.reopen(file, sys.O_PATH);
    if (fd < 0) return fd;
    const node = this.settle(parent, name, fd);
    if (typeof node !== "number") node.lookups++;
    return node;
  }

  /**
   * The node of one entry of a directory, looked up once more, whose stat is in `facts`. It has no descriptor yet.
   * Undefined if there is no room for it, or if another file system begins there.
   */
  list(parent: Node, name: string, facts: StatBuffer): Node | undefined {
    if (facts.mountId !== parent.mount.id) return undefined;
    const high = parent.mount.high(facts);
    if (high < 0) return undefined;
    let node = this.known(facts, high);
    if (node === undefined) {
      if (this.nodes.size >= this.most) return undefined;
      node = this.add(parent, name, parent.mount, high, facts);
    }
    node.lookups++;
    return node;
  }

  /** The node that has this name now, if the guest knows it. `found` has its stat if there is such a file. */
  peek(parent: Node, name: string): Node | undefined {
    const directory = this.fdOf(parent);
    if (directory < 0 || this.found.readName(directory, name) < 0) return undefined;
    const { found } = this;
    const mount = this.mountOf(parent, name);
    if (typeof mount === "number") return undefined;
    return this.known(found, mount.high(found));
  }

  /** The guest has forgotten this many look-ups. */
  forget(id: number, lookups: number): void {
    const node = this.nodes.get(id);
    if (node === undefined) return;
    node.lookups = Math.max(0, node.lookups - lookups);
    this.drop(node);
  }

  hold(node: Node): void {
    node.users++;
  }

  release(node: Node): void {
    node.users--;
    this.drop(node);
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

  /** The name of a node is about to go: from now on it is what its descriptor says. */
  unname(node: Node): void {
    if (node.nameless || node.parent === undefined || this.nameless >= this.budget >> 1) return;
    if (this.fdOf(node) < 0) return;
    node.nameless = true;
    this.nameless++;
    this.open.delete(node);
  }

  /** The node has this name now. */
  moveTo(node: Node, parent: Node, name: string): void {
    if (node.nameless) {
      node.nameless = false;
      this.nameless--;
      if (node.fd >= 0) this.keep(node);
    }
    if (node.parent !== parent) {
      // the host may turn a tree around while the guest looks: no node is below itself
      for (let each: Node | undefined = parent; each !== undefined; each = each.parent)
        if (each === node) return;
      const before = node.parent;
      this.hold(parent);
      node.parent = parent;
      if (before !== undefined) this.release(before);
    }
    node.name = name;
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

  private find(parent: Node, name: string): Node | number {
    const directory = this.fdOf(parent);
    if (directory < 0) return directory;
    const read = this.found.readName(directory, name);
    if (read < 0) return read;
    const mount = this.mountOf(parent, name);
    if (typeof mount === "number") return mount;
    const known = this.known(this.found, mount.high(this.found));
    if (known !== undefined && known.fd >= 0) {
      this.moveTo(known, parent, name);
      this.nodes.delete(known.id);
      this.nodes.set(known.id, known);
      return known;
    }
    const fd = sys.openEntry(directory, name, sys.O_PATH);
    return fd < 0 ? fd : this.settle(parent, name, fd);
  }

  /** The node of a new descriptor, which it takes. */
  private settle(parent: Node, name: string, fd: number): Node | number {
    const node = this.identified(parent, name, fd);
    if (typeof node === "number") {
      sys.close(fd);
      return node;
    }
    this.moveTo(node, parent, name);
    if (node.fd >= 0) sys.close(fd);
    else this.remember(node, fd);
    return node;
  }

  private identified(parent: Node, name: string, fd: number): Node | number {
    const { found } = this;
    const read = found.read(fd);
    if (read < 0) return read;
    const mount = this.mountOf(parent, name);
    if (typeof mount === "number") return mount;
    const high = mount.high(found);
    if (high < 0) return high;
    const known = this.known(found, high);
    if (known !== undefined) return known;
    if (this.nodes.size >= this.most && !this.makeRoom(parent)) return -sys.ENFILE;
    return this.add(parent, name, mount, high);
  }

  /**
   * Forgets a file on the guest's behalf, but none that is open, that has known files below it, or that is a volume. A
   * directory only for want of another: somebody may work in it, who does not look it up again.
   */
  private makeRoom(parent: Node): boolean {
    let tries = this.evicts ? MOST_TRIES : 0;
    let directory: Node | undefined;
    for (const [id, node] of this.nodes) {
      if (tries-- <= 0) break;
      const mayGo = node.users === 0 && node.parent !== this.root && node !== parent;
      if (mayGo && node.kind !== sys.S_IFDIR) return this.evict(node);
      if (mayGo) directory ??= node;
      this.nodes.delete(id);
      this.nodes.set(id, node);
    }
    return directory !== undefined && this.evict(directory);
  }

  private evict(node: Node): true {
    node.lookups = 0;
    this.drop(node);
    return true;
  }

  /** The node of the file that this stat is of. One of an earlier file with the same number is not found any more. */
  private known(stat: StatBuffer, high: number): Node | undefined {
    const node = this.index.get(high, stat.inodeLow);
    if (node === undefined) return undefined;
    if (node.bornLow === stat.bornLow && node.bornNanoseconds === stat.bornNanoseconds) return node;
    this.index.delete(node);
    return undefined;
  }

  private add(parent: Node | undefined, name: string, mount: Mount, high: number, stat = this.found): Node {
    const { kind, inodeLow, bornLow, bornNanoseconds } = stat;
    const id = this.nextId++;
    const node = new Node(id, parent, name, mount, kind, high, inodeLow, bornLow, bornNanoseconds);
    if (parent !== undefined) this.hold(parent);
    this.nodes.set(id, node);
    this.index.set(node);
    return node;
  }

  private drop(node: Node): void {
    for (let each: Node | undefined = node; each !== undefined; each = each.parent) {
      if (each.lookups > 0 || each.users > 0) return;
      this.nodes.delete(each.id);
      this.index.delete(each);
      if (each.nameless) this.nameless--;
      this.shut(each);
      if (each.parent !== undefined) each.parent.users--;
    }
  }

  /** The mount of what `found` is about. Another mount than the parent's begins here: who it is, is told by its place. */
  private mountOf(parent: Node, name: string): Mount | number {
    const { found, above, mounts } = this;
    const { mountId } = found;
    if (mountId === parent.mount.id) return parent.mount;
    const directory = this.fdOf(parent);
    const read = directory < 0 ? directory : above.read(directory);
    if (read < 0) return read;
    const key = `${parent.high}.${parent.low}.${above.birth}/${name}/${mountId}/${found.birth}`;
    const known = mounts.get(key);
    if (known !== undefined) return known;
    const readonly = this.isReadonly(parent, directory, name);
    return readonly < 0 ? readonly : mounts.enter(mountId, key, readonly !== 0);
  }

  /**
   * Whether a mount that begins here is of a read-only volume. What the host mounts in one later comes as it is there: writable,
   * perhaps (mount_namespaces(7), slave mounts), also over the volume's own directory. Its name tells. 1, 0, or -errno.
   */
  private isReadonly(parent: Node, directory: number, name: string): number {
    if (parent !== this.root) return parent.mount.readonly ? 1 : 0;
    if (isReadonlyVolume(name)) return 1;
    const fd = sys.openEntry(directory, name, sys.O_PATH);
    if (fd < 0) return fd;
    const answer = sys.isMountReadonly(fd);
    sys.close(fd);
    return answer;
  }

  private reopen(node: Node, directory: number): number {
    const { parent } = node;
    if (node.nameless || parent === undefined) return -sys.ESTALE;
    const fd = sys.openEntry(directory, node.name, sys.O_PATH);
    if (fd < 0) return fd === -sys.ENOENT || fd === -sys.ENOTDIR ? -sys.ESTALE : fd;
    const stale = this.checked(node, parent, fd);
    if (stale < 0) {
      sys.close(fd);
      return stale;
    }
    this.remember(node, fd);
    return fd;
  }

  /** 0 if the descriptor is of the node's file. */
  private checked(node: Node, parent: Node, fd: number): number {
    const { found } = this;
    const read = found.read(fd);
    if (read < 0) return read;
    const mount = this.mountOf(parent, node.name);
    if (typeof mount === "number") return mount;
    return this.known(found, mount.high(found)) === node ? 0 : -sys.ESTALE;
  }

  /** Nodes that are just being used are the youngest, and a budget has room for more than these. */
  private remember(node: Node, fd: number): void {
    node.fd = fd;
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
    this.open.delete(node);
    if (node.fd < 0) return;
    sys.close(node.fd);
    node.fd = -1;
  }
}
