/**
 * Tables in the manner of kubectl: a heading, columns apart by two blanks, no lines.
 *
 * Whoever makes a cell has made it harmless. Widths are cells of a terminal, so that colours and wide letters do not shift a
 * column.
 */
import stringWidth from "string-width";
import type { Screen } from "../screen.ts";

const GAP = "  ";

/** Each row is a line; the last column is cut where the screen ends. */
export function table(rows: readonly (readonly string[])[], screen: Pick<Screen, "columns">): string {
  const widths = columnWidths(rows);
  return rows.map((row) => tableLine(row, widths, screen)).join("");
}

/** Cells of each column. */
export function columnWidths(rows: readonly (readonly string[])[]): number[] {
  const columns = greatest(rows, ({ length }) => length);
  return Array.from({ length: columns }, (_, index) =>
    greatest(rows, (row) => stringWidth(row[index] ?? "")),
  );
}

/** Not by Math.max, which takes a hundred thousand arguments at most: a history in lines may be longer. */
export function greatest<Item>(items: readonly Item[], sizeOf: (item: Item) => number): number {
  return items.reduce((most, item) => Math.max(most, sizeOf(item)), 0);
}

/** One row; a cell that is too wide shifts those after it. */
export function tableLine(
  row: readonly string[],
  widths: readonly number[],
  { columns }: Pick<Screen, "columns">,
): string {
  const cells = row.map((cell, index) =>
    index === row.length - 1 ? cell : padded(cell, widths[index] ?? 0),
  );
  return `${fitted(cells.join(GAP).trimEnd(), columns)}\n`;
}

/** Filled with blanks up to so many cells. */
export function padded(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - stringWidth(text)));
}

/** Cut to so many cells; colours stay whole. */
export function fitted(text: string, columns: number): string {
  if (stringWidth(text) <= columns) return text;
  let cut = "";
  let width = 0;
  for (const part of text.matchAll(PARTS)) {
    const [piece] = part;
    if (!piece.startsWith("\u001b")) {
      const more = stringWidth(piece);
      if (width + more > columns - 1) continue;
      width += more;
      if (width === columns - 1) {
        cut += `${piece}…`;
        width = columns;
        continue;
      }
    }
    cut += piece;
  }
  return cut;
}

/** A colour, or a letter. */
const PARTS = /\p{Cc}\[[0-9;]*m|./gsu;

/** Lines of `name: value`, values in one column. */
export function fields(rows: readonly (readonly [string, string])[], screen: Screen): string {
  const width = greatest(rows, ([name]) => name.length) + 1;
  return rows
    .map(([name, value]) => `${fitted(`${padded(`${name}:`, width)}${GAP}${value}`, screen.columns)}\n`)
    .join("");
}

/** A text in lines of at most so many cells, broken at blanks, or within a word that is longer than a line. */
export function wrapped(text: string, columns: number): string {
  const lines: string[] = [];
  let current = "";
  for (const word of text.split(" ").flatMap((each) => pieces(each, columns))) {
    const longer = current === "" ? word : `${current} ${word}`;
    if (current !== "" && stringWidth(longer) > columns) {
      lines.push(current);
      current = word;
    } else current = longer;
  }
  return [...lines, current].map((each) => `${each}\n`).join("");
}

/** A word that is longer than a line, in parts; its letters may be two cells wide. */
function pieces(word: string, columns: number): string[] {
  if (stringWidth(word) <= columns) return [word];
  const letters = [...word];
  const most = Math.max(1, Math.floor(columns / 2));
  return Array.from({ length: Math.ceil(letters.length / most) }, (_, index) =>
    letters.slice(index * most, (index + 1) * most).join(""),
  );
}
