/** The two sandboxes that are marked for a comparison; a third one takes the place of the older mark. */
import { Store, useStore } from "../data/store.ts";

const marked = new Store<readonly string[]>([]);

export function toggleMark(id: string): void {
  const before = marked.get();
  marked.set(before.includes(id) ? before.filter((other) => other !== id) : [...before, id].slice(-2));
}

export function useMarks() {
  return { ids: useStore(marked), toggle: toggleMark };
}
