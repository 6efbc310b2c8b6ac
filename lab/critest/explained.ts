/**
 * Cases of critest that need not pass, each with its reason; docs/specification.md has the same list.
 */

export interface Explained {
  /** The case's name, or its beginning. */
  readonly name: string;
  readonly why: string;
}

export const NEEDS_NETWORK = "needs issue 13's network";

/** Why a case need not pass; undefined for all others. */
export function reasonFor(name: string): string | undefined {
  return EXPLAINED.find((each) => name.startsWith(each.name))?.why;
}

/** Whatever runs the containers. */
export const OF_THE_TEST: readonly Explained[] = [
  {
    name: "Image Manager public image with digest should be pulled and removed",
    why: "its name is the digest of bytes that only the upstream registry has",
  },
];

/** What blazar cannot do, or does in another way. */
export const OF_BLAZAR: readonly Explained[] = [];

const EXPLAINED = [...OF_THE_TEST, ...OF_BLAZAR];
