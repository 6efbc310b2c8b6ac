/**
 * Which chains shall have an image made ahead, and in which order. Pure: knows neither containerd nor the clock.
 *
 * Wanted are the tops of OCI images that were unpacked since the start, the first unpacked first: pods are started in that
 * order. After these come some that were there before, the last unpacked first. A chain is wanted once; a later pull of its
 * image makes it wanted again.
 */
import type { UnpackedChain } from "../../contracts/snapshots.ts";

export class WantedChains {
  /** Names of the chains of before the start; undefined until the first list. */
  private before: ReadonlySet<string> | undefined;
  private listed: readonly UnpackedChain[] = [];
  /** When each chain was unpacked that nothing has to be done for any more. */
  private readonly handled = new Map<string, number>();

  /**
   * @param since when the daemon started
   * @param existing how many that were unpacked before are wanted
   */
  constructor(
    private readonly since: Date,
    private readonly existing: number,
  ) {}

  /** Takes note of all that is unpacked now. */
  list(chains: readonly UnpackedChain[]): void {
    this.listed = chains;
    this.before ??= new Set(
      chains
        .filter((chain) => chain.unpackedAt < this.since)
        .sort(lastFirst)
        .slice(0, this.existing)
        .map(({ name }) => name),
    );
    for (const name of this.handled.keys()) if (!this.isListed({ name })) this.handled.delete(name);
  }

  /** False once no OCI image has the chain any more. */
  isListed({ name }: Pick<UnpackedChain, "name">): boolean {
    return this.listed.some((each) => each.name === name);
  }

  /** The next one; undefined if there is none. */
  get next(): UnpackedChain | undefined {
    const open = this.listed.filter(
      ({ name, unpackedAt }) => this.handled.get(name) !== unpackedAt.getTime(),
    );
    const fresh = open.filter(({ unpackedAt }) => unpackedAt >= this.since).sort(firstFirst);
    return fresh[0] ?? open.filter(({ name }) => this.before?.has(name)).sort(lastFirst)[0];
  }

  /** Nothing has to be done for it any more, whatever came of it. */
  handle({ name, unpackedAt }: UnpackedChain): void {
    this.handled.set(name, unpackedAt.getTime());
  }

  /** It is tried again when it is listed the next time. */
  postpone(chain: UnpackedChain): void {
    this.listed = this.listed.filter(({ name }) => name !== chain.name);
  }
}

function firstFirst(a: UnpackedChain, b: UnpackedChain): number {
  return a.unpackedAt.getTime() - b.unpackedAt.getTime();
}

function lastFirst(a: UnpackedChain, b: UnpackedChain): number {
  return firstFirst(b, a);
}
