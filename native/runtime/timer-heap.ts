/**
 * Timers as a binary heap, ordered by due time and then by the order in which they were added. Cancelling is O(log n).
 *
 * Pure: it knows neither the clock nor the loop.
 */

/** A timer in the heap. The heap sets `index`: -1 when the timer is not in the heap. */
export interface HeapTimer {
  readonly due: number;
  readonly order: number;
  index: number;
}

export class TimerHeap<T extends HeapTimer> {
  private readonly items: T[] = [];

  get size(): number {
    return this.items.length;
  }

  /** The timer that is due first. */
  first(): T | undefined {
    return this.items[0];
  }

  add(timer: T): void {
    timer.index = this.items.length;
    this.items.push(timer);
    this.up(timer);
  }

  /** Takes a timer out. Does nothing if the heap does not have it. */
  remove(timer: T): void {
    const { index } = timer;
    if (this.items[index] !== timer) return;
    timer.index = -1;
    const last = this.items.pop();
    if (last === undefined || last === timer) return;
    this.place(last, index);
    this.up(last);
    this.down(last);
  }

  private place(timer: T, index: number): void {
    this.items[index] = timer;
    timer.index = index;
  }

  private up(timer: T): void {
    while (timer.index > 0) {
      const { index } = timer;
      const parentIndex = (index - 1) >> 1;
      const parent = this.items[parentIndex];
      if (parent === undefined || !before(timer, parent)) return;
      this.place(parent, index);
      this.place(timer, parentIndex);
    }
  }

  private down(timer: T): void {
    for (;;) {
      const { index } = timer;
      const left = this.items[2 * index + 1];
      const right = this.items[2 * index + 2];
      const child = right !== undefined && left !== undefined && before(right, left) ? right : left;
      if (child === undefined || !before(child, timer)) return;
      const childIndex = child.index;
      this.place(child, index);
      this.place(timer, childIndex);
    }
  }
}

function before(a: HeapTimer, b: HeapTimer): boolean {
  return a.due < b.due || (a.due === b.due && a.order < b.order);
}
