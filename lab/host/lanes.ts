/**
 * Work on a list by several at once, whose results are told in the list's order all the same.
 */

/**
 * Each lane takes the next item when it is done with its last one. `told` gets every result, in the items' order, as soon as
 * those before it are there. Rejects with the first failure; what the other lanes have begun ends by itself.
 */
export async function inLanes<Item, Result>(
  items: readonly Item[],
  lanes: readonly ((item: Item) => Promise<Result>)[],
  told: (item: Item, result: Result) => void,
): Promise<void> {
  const results = new Map<number, { readonly item: Item; readonly result: Result }>();
  const waiting = items.entries();
  let next = 0;
  const tell = () => {
    for (let done = results.get(next); done !== undefined; done = results.get(next)) {
      results.delete(next++);
      told(done.item, done.result);
    }
  };
  const run = async (work: (item: Item) => Promise<Result>) => {
    // the lanes share one iterator, so each item is taken once
    for (const [index, item] of waiting) {
      results.set(index, { item, result: await work(item) });
      tell();
    }
  };
  await Promise.all(lanes.map(run));
}
