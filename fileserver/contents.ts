/** Open files that the guest has not opened by itself, because they never change; those that were not used for longest are closed. */
import * as sys from "sys";
import type { Node, NodeTree } from "./nodes.ts";

export class Contents {
  private readonly open = new Map<Node, { readonly fd: number; usedAt: number }>();
  private age = 0;

  /** @param most files at a time */
  constructor(
    private readonly tree: NodeTree,
    private readonly most: number,
  ) {}

  /** The node's descriptor, which `opens` makes if there is none: a descriptor or -errno. */
  descriptorOf(node: Node, opens: () => number): number {
    const known = this.open.get(node);
    if (known !== undefined) {
      known.usedAt = this.age;
      this.open.delete(node);
      this.open.set(node, known);
      return known.fd;
    }
    const fd = opens();
    if (fd < 0) return fd;
    this.tree.hold(node);
    this.open.set(node, { fd, usedAt: this.age });
    const oldest = this.open.keys().next().value;
    if (this.open.size > this.most && oldest !== undefined) this.close(oldest);
    return fd;
  }

  /** Called from time to time: closes what was not used since the call before. */
  grow(): void {
    for (const [node, { usedAt }] of this.open) {
      if (usedAt === this.age) break;
      this.close(node);
    }
    this.age++;
  }

  private close(node: Node): void {
    const { fd } = this.open.get(node) ?? { fd: -1 };
    this.open.delete(node);
    sys.close(fd);
    this.tree.release(node);
  }
}
