/**
 * Draws a figure: a plot in a frame with title and legend, as SVG and as PNG.
 *
 * Observable Plot draws into linkedom's document; resvg (WebAssembly) makes the PNG with DejaVu Sans from npm. So it
 * needs no browser and no font of the machine. Must not know what is shown.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import * as Plot from "@observablehq/plot";
import { initWasm, Resvg } from "@resvg/resvg-wasm";
import { parseHTML } from "linkedom";
import { repoRoot } from "../../setup/lib/paths.ts";
import { INK, MUTED, PAPER, styleSheet, withLightColours } from "./theme.ts";

export interface LegendEntry {
  readonly label: string;
  readonly colour: string;
  /** A dashed line instead of a square: a reference. */
  readonly dashed?: boolean;
}

export interface Figure {
  /** File name without its end. */
  readonly name: string;
  readonly title: string;
  readonly subtitle: string;
  readonly legend: readonly LegendEntry[];
  readonly plot: Plot.PlotOptions;
}

const WIDTH = 820;
const HEIGHT = 440;
const MARGIN = 20;
const HEADER = 62;
const LEGEND_LINE = 20;
/** DejaVu Sans and system fonts at 12 px, on average and rounded up. */
const LETTER = 7.2;
const SWATCH = 18;
const PNG_SCALE = 2;

/** `svg` for pages, `png` for eyes without a browser. */
export type FigureFormat = "svg" | "png";

/** Writes each figure in these formats into a directory, made if missing; returns the paths. */
export async function writeFigures(
  directory: string,
  figures: readonly Figure[],
  formats: readonly FigureFormat[],
): Promise<string[]> {
  await mkdir(directory, { recursive: true });
  const written: string[] = [];
  for (const figure of figures) {
    const svg = svgOf(figure);
    for (const format of formats) {
      const file = join(directory, `${figure.name}.${format}`);
      await writeFile(file, format === "svg" ? svg : await pngOf(svg));
      written.push(file);
    }
  }
  return written;
}

/** The figure as one SVG document. */
export function svgOf({ title, subtitle, legend, plot }: Figure): string {
  const { document } = parseHTML("<html><body></body></html>");
  const rows = legendRows(legend);
  const top = HEADER + rows.length * LEGEND_LINE;
  const height = top + (plot.height ?? HEIGHT) + MARGIN;
  const drawn = Plot.plot({
    width: WIDTH,
    height: HEIGHT,
    marginLeft: 60,
    marginRight: 30,
    marginTop: 36,
    marginBottom: 45,
    style: { fontSize: "12px" },
    ...plot,
    // what Plot needs of a document, linkedom's has; its types are not the browser's
    ...({ document } as object),
  }).outerHTML;
  const inner = drawn.replace("<svg ", `<svg x="0" y="${top}" `).replaceAll("currentColor", INK);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, 'DejaVu Sans', sans-serif" role="img">`,
    `<title>${escaped(title)}</title><style>${styleSheet()}</style>`,
    `<rect width="100%" height="100%" fill="${PAPER}"/>`,
    `<text x="${MARGIN}" y="30" font-size="17" font-weight="600" fill="${INK}">${escaped(title)}</text>`,
    `<text x="${MARGIN}" y="50" font-size="12" fill="${MUTED}">${escaped(subtitle)}</text>`,
    ...rows.map((row, index) => legendRow(row, HEADER + index * LEGEND_LINE)),
    inner,
    "</svg>\n",
  ].join("\n");
}

type Placed = LegendEntry & { readonly x: number };

/** Entries from left to right, in as many rows as they need. */
function legendRows(legend: readonly LegendEntry[]): Placed[][] {
  const rows: Placed[][] = [];
  let x = Number.POSITIVE_INFINITY;
  for (const entry of legend) {
    const width = SWATCH + entry.label.length * LETTER + MARGIN;
    if (x + width > WIDTH - MARGIN) {
      rows.push([]);
      x = MARGIN;
    }
    rows.at(-1)?.push({ ...entry, x });
    x += width;
  }
  return rows;
}

function legendRow(row: readonly Placed[], y: number): string {
  return row
    .map(
      ({ x, label, colour, dashed }) =>
        (dashed === true
          ? `<path d="M${x} ${y + 6}h13" stroke="${colour}" stroke-width="2" stroke-dasharray="4 3"/>`
          : `<rect x="${x}" y="${y}" width="12" height="12" rx="2" fill="${colour}"/>`) +
        `<text x="${x + SWATCH}" y="${y + 10}" font-size="12" fill="${INK}">${escaped(label)}</text>`,
    )
    .join("");
}

let engine: Promise<Buffer> | undefined;

/** The SVG in light colours at twice its size. */
async function pngOf(svg: string): Promise<Uint8Array> {
  engine ??= loadEngine();
  const font = await engine;
  const family = "DejaVu Sans";
  const image = new Resvg(withLightColours(svg), {
    fitTo: { mode: "zoom", value: PNG_SCALE },
    font: { fontBuffers: [font], defaultFontFamily: family, sansSerifFamily: family },
  });
  return image.render().asPng();
}

/** Starts resvg, once; returns the font. */
async function loadEngine(): Promise<Buffer> {
  const require = createRequire(join(repoRoot(), "package.json"));
  await initWasm(await readFile(require.resolve("@resvg/resvg-wasm/index_bg.wasm")));
  return readFile(require.resolve("dejavu-fonts-ttf/ttf/DejaVuSans.ttf"));
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
