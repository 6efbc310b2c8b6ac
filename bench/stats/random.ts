/**
 * Random numbers that can be repeated: a small seeded generator (mulberry32), for the order of runs and the bootstrap.
 *
 * Two generators of one seed give the same numbers on every machine. Not for secrets.
 */

/** Numbers in [0, 1). */
export type Random = () => number;

const UINT32 = 2 ** 32;

/** A generator of its own for each seed, an integer. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / UINT32;
  };
}

/** The items in a fair random order (each gets a random key); the list itself stays. */
export function shuffled<T>(items: readonly T[], random: Random): T[] {
  const deck = items.map((item) => ({ item, key: random() }));
  return deck.sort((a, b) => a.key - b.key).map(({ item }) => item);
}
