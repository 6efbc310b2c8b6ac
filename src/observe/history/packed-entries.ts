/**
 * Entries of a history that have ended, as compact as JavaScript allows: a node has a hundred thousand of them.
 *
 * An object with its numbers takes about 110 bytes, and the collector walks over each. Here an entry is seven words of two arrays:
 * numbers of one, texts of the other. What is the same in many entries is there once ({@link Head}). Arrays are of a fixed length,
 * so that none has room that it does not need. Must not know what an entry means.
 */
import type { HistoryEntry } from "../../contracts/inspection.ts";

/** What entries of many sandboxes have in common. */
type Head = Pick<HistoryEntry, "kind" | "name" | "from" | "to">;

/** Entries of a chunk. */
const CHUNK = 16;
/** Of an entry: id, cause or 0, at, ms or NaN. */
const NUMBERS = 4;
/** Of an entry: head, chart, error. */
const TEXTS = 3;
/** Texts that come from outside are bounded by this: beyond it, each entry has a head of its own. */
const MOST_HEADS = 2048;

type Text = Head | string | undefined;

interface Chunk {
  readonly numbers: number[];
  readonly texts: Text[];
}

/** Fractions, so that an array of these has bare doubles in it. */
const NO_NUMBERS: readonly number[] = new Array<number>(CHUNK * NUMBERS).fill(0.5);
const NO_TEXTS: readonly Text[] = new Array<Text>(CHUNK * TEXTS).fill(undefined);

const heads = new Map<string, Head[]>();
let headCount = 0;

/** The first ones stay, and of the others the last ones. */
export class PackedEntries {
  /** Entries that had to make room. */
  forgotten = 0;
  private readonly first: Chunk[] = [];
  private readonly last: Chunk[] = [];
  /** Entries that were taken in. */
  private added = 0;

  /**
   * @param mostFirst so many of the first are kept for ever; a multiple of {@link CHUNK}
   * @param most entries that are kept
   */
  constructor(
    private readonly mostFirst: number,
    private readonly most: number,
  ) {}

  get count(): number {
    return this.added - this.forgotten;
  }

  push(entry: HistoryEntry): void {
    const index = this.added++;
    const chunks = index < this.mostFirst ? this.first : this.last;
    const at = index % CHUNK;
    if (at === 0) chunks.push({ numbers: NO_NUMBERS.slice(), texts: NO_TEXTS.slice() });
    put(chunks[chunks.length - 1] as Chunk, at, entry);
    if (this.count <= this.most) return;
    this.forgotten += 1;
    if (this.forgotten % CHUNK === 0) this.last.shift();
  }

  /** In the order in which they came. */
  get all(): HistoryEntry[] {
    const all: HistoryEntry[] = [];
    const begin = Math.min(this.added, this.mostFirst);
    for (let index = 0; index < begin; index++) all.push(taken(this.first, index));
    const skipped = this.forgotten % CHUNK;
    const rest = this.count - begin;
    for (let index = skipped; index < skipped + rest; index++) all.push(taken(this.last, index));
    return all;
  }
}

function put({ numbers, texts }: Chunk, at: number, entry: HistoryEntry): void {
  const number = at * NUMBERS;
  numbers[number] = entry.id;
  numbers[number + 1] = entry.cause ?? 0;
  numbers[number + 2] = entry.at;
  numbers[number + 3] = entry.ms ?? Number.NaN;
  const text = at * TEXTS;
  texts[text] = headOf(entry);
  texts[text + 1] = entry.chart;
  texts[text + 2] = entry.error;
}

function taken(chunks: readonly Chunk[], index: number): HistoryEntry {
  const { numbers, texts } = chunks[Math.floor(index / CHUNK)] as Chunk;
  const number = (index % CHUNK) * NUMBERS;
  const [id = 0, cause = 0, at = 0, ms = Number.NaN] = numbers.slice(number, number + NUMBERS);
  const text = (index % CHUNK) * TEXTS;
  const [head, chart, error] = texts.slice(text, text + TEXTS) as [
    Head,
    HistoryEntry["chart"],
    string | undefined,
  ];
  return {
    ...{ id, at, ...head },
    ...(cause === 0 ? {} : { cause }),
    ...(chart === undefined ? {} : { chart }),
    ...(Number.isNaN(ms) ? {} : { ms }),
    ...(error === undefined ? {} : { error }),
  };
}

function headOf({ kind, name, from, to }: HistoryEntry): Head {
  const known = heads.get(name);
  const found = known?.find((head) => head.kind === kind && head.from === from && head.to === to);
  if (found !== undefined) return found;
  const head = { kind, name, ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
  // a note's text is hardly ever the same
  if (kind === "note" || headCount >= MOST_HEADS) return head;
  headCount += 1;
  if (known === undefined) heads.set(name, [head]);
  else known.push(head);
  return head;
}
