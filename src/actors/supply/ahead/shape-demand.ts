/**
 * Which sizes of VMs pods have asked for lately, so that what is made ahead is of a size that will be wanted.
 *
 * A node's pods come in few sizes, and the next pod is most likely one like the last ones. Before the first pod it is the
 * configured default. Must not make anything.
 */
import { isSameShape, type VmShape } from "../../../contracts/vm.ts";

/** How many pods are remembered. */
const REMEMBERED = 16;
/** Another size has to be asked for so much more often: what is there ahead is not thrown away for a whim. */
const CLEARLY = 2;
/** Half a VM is none, and three quarters of one are one. */
const CAUTIOUSLY = 0.25;

export class ShapeDemand {
  private readonly recent: VmShape[] = [];
  /** Of the same pods: whether each had the host's network. */
  private readonly hostNetworks: boolean[] = [];

  constructor(private readonly fallback: VmShape) {}

  /** A pod asks for a VM like this. */
  note(shape: VmShape, hasHostNetwork = false): void {
    this.recent.push(shape);
    this.hostNetworks.push(hasHostNetwork);
    if (this.recent.length <= REMEMBERED) return;
    this.recent.shift();
    this.hostNetworks.shift();
  }

  /** How many of `max` shall have the host's network ahead. When in doubt one fewer: to leave it costs the others time. */
  withHostNetwork(max: number): number {
    const count = this.hostNetworks.filter((has) => has).length;
    return count === 0 ? 0 : Math.floor((count / this.hostNetworks.length) * max + CAUTIOUSLY);
  }

  /** What there shall be one of, where there is one of `current` now. */
  favourite(current?: VmShape): VmShape {
    const first = this.wanted().reduce((best, each) => (this.count(each) >= this.count(best) ? each : best));
    if (current === undefined) return first;
    return this.count(first) >= CLEARLY * (this.count(current) + 1) ? first : current;
  }

  /** What to make next where these are there and `max` shall be: the size that misses most of its share. */
  next(present: readonly VmShape[], max: number): VmShape {
    const missing = (shape: VmShape): number => this.share(shape) * max - countOf(present, shape);
    return this.wanted().reduce((best, each) => (missing(each) > missing(best) ? each : best));
  }

  /** Index of one of these that may make way for another size; -1 = all are wanted. */
  surplus(present: readonly VmShape[], max: number): number {
    return present.findIndex((shape) => countOf(present, shape) >= this.share(shape) * max + 1);
  }

  /** Each size once, the one that was asked for first in front. */
  private wanted(): [VmShape, ...VmShape[]] {
    const [first = this.fallback, ...others] = this.recent;
    const distinct: [VmShape, ...VmShape[]] = [first];
    for (const each of others) if (countOf(distinct, each) === 0) distinct.push(each);
    return distinct;
  }

  private share(shape: VmShape): number {
    if (this.recent.length === 0) return isSameShape(shape, this.fallback) ? 1 : 0;
    return this.count(shape) / this.recent.length;
  }

  private count(shape: VmShape): number {
    return countOf(this.recent, shape);
  }
}

function countOf(shapes: readonly VmShape[], shape: VmShape): number {
  return shapes.filter((each) => isSameShape(each, shape)).length;
}
