/**
 * Pictures of docs/pictures/: an SVG from a text source (JSON) of groups, boxes and arrows, laid out by hand.
 *
 * The colours are those of the benchmark's figures, so that one file is legible on light and on dark paper. It draws
 * what the source says, and must not decide where anything stands.
 */
import { INK, MUTED, PAPER, seriesColour, styleSheet } from "../../../bench/output/theme.ts";

type Point = readonly [x: number, y: number];
type Place = readonly [x: number, y: number, width: number, height: number];

/** Where the first line of a text stands, and which part of it stands there. */
type Anchor = readonly [x: number, y: number, anchor: "start" | "middle" | "end"];

interface Box {
  readonly label: string;
  /** Smaller lines below the label. */
  readonly notes: readonly string[];
  readonly at: Place;
  /** Number of a series' colour. */
  readonly colour: number;
}

interface Group {
  readonly label: readonly string[];
  readonly at: Place;
  readonly colour: number;
}

interface Arrow {
  /** Corners; each stretch is horizontal or vertical. */
  readonly path: readonly Point[];
  /** A head at both ends. */
  readonly both: boolean;
  readonly label: readonly string[];
  readonly at: Anchor;
}

/** The source of a picture; later ones are drawn over earlier ones. */
export interface Picture {
  readonly title: string;
  readonly size: readonly [width: number, height: number];
  readonly groups: readonly Group[];
  readonly boxes: readonly Box[];
  readonly arrows: readonly Arrow[];
}

const LABEL = 15;
const NOTE = 12;
const LINE = 16;
const PADDING = 20;
const HEAD = 9;

/** The picture as one SVG document. */
export function pictureSvg({ title, size: [width, height], groups, boxes, arrows }: Picture): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, 'DejaVu Sans', sans-serif" role="img">`,
    `<title>${escaped(title)}</title><style>${styleSheet()}</style>`,
    `<rect width="100%" height="100%" fill="${PAPER}"/>`,
    text(escaped(title), [PADDING, 30, "start"], 17, INK, true),
    ...groups.map(drawGroup),
    ...arrows.map(drawArrow),
    ...boxes.map(drawBox),
    ...arrows.map(({ label, at }) => lines(label, at, NOTE, INK)),
    "</svg>\n",
  ].join("\n");
}

function drawGroup({ label, at, colour }: Group): string {
  const [x, y] = at;
  const frame = rectangle(at, `stroke="${seriesColour(colour)}" stroke-dasharray="6 4" fill="none"`);
  return frame + lines(label, [x + 12, y + 20, "start"], NOTE, seriesColour(colour));
}

function drawBox({ label, notes, at, colour }: Box): string {
  const [x, y, width, height] = at;
  const middle = x + width / 2;
  const top = y + (height - LINE * notes.length) / 2 + LABEL / 3;
  const frame = rectangle(at, `stroke="${seriesColour(colour)}" stroke-width="2" fill="${PAPER}"`);
  const name = text(escaped(label), [middle, top, "middle"], LABEL, INK, true);
  return frame + name + lines(notes, [middle, top + LINE + 2, "middle"], NOTE, MUTED);
}

function drawArrow({ path, both }: Arrow): string {
  const d = path.map(([x, y], index) => `${index === 0 ? "M" : "L"}${x} ${y}`).join("");
  const line = `<path d="${d}" fill="none" stroke="${MUTED}" stroke-width="1.5"/>`;
  return line + head(path.at(-2), path.at(-1)) + (both ? head(path[1], path[0]) : "");
}

/** Drawn, not a marker: not every program turns those around at a line's start. */
function head(from: Point | undefined, tip: Point | undefined): string {
  if (from === undefined || tip === undefined) return "";
  const [dx, dy] = [Math.sign(tip[0] - from[0]), Math.sign(tip[1] - from[1])];
  const [x, y] = [tip[0] - dx * HEAD, tip[1] - dy * HEAD];
  const [sideX, sideY] = [(dy * HEAD) / 2, (dx * HEAD) / 2];
  const corners = [tip, [x + sideX, y + sideY], [x - sideX, y - sideY]];
  return `<path d="M${corners.map((corner) => corner.join(" ")).join("L")}z" fill="${MUTED}"/>`;
}

function rectangle([x, y, width, height]: Place, style: string): string {
  return `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="8" ${style}/>`;
}

function lines(all: readonly string[], [x, y, anchor]: Anchor, size: number, colour: string): string {
  return all.map((line, index) => text(escaped(line), [x, y + index * LINE, anchor], size, colour)).join("");
}

function text(content: string, [x, y, anchor]: Anchor, size: number, colour: string, bold = false): string {
  const weight = bold ? ' font-weight="600"' : "";
  return `<text x="${x}" y="${y}" font-size="${size}" text-anchor="${anchor}"${weight} fill="${colour}">${content}</text>`;
}

function escaped(value: string): string {
  return value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
