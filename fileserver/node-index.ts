/** Files by the inode number that the guest sees, which is too large for a number of JavaScript: two levels of maps. */

/** An inode number in halves. */
export interface Numbered {
  readonly high: number;
  readonly low: number;
}

export class NodeIndex<Node extends Numbered> {
  private readonly byHigh = new Map<number, Map<number, Node>>();

  get(high: number, low: number): Node | undefined {
    return this.byHigh.get(high)?.get(low);
  }

  /** Another node of the same number is not found any more. */
  set(node: Node): void {
    const byLow = this.byHigh.get(node.high);
    if (byLow === undefined) this.byHigh.set(node.high, new Map([[node.low, node]]));
    else byLow.set(node.low, node);
  }

  delete(node: Node): void {
    const byLow = this.byHigh.get(node.high);
    if (byLow?.get(node.low) !== node) return;
    byLow.delete(node.low);
    if (byLow.size === 0) this.byHigh.delete(node.high);
  }
}
