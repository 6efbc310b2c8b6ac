/**
 * Colours of the figures, by name, so that one drawing is legible on light and on dark paper.
 *
 * In an SVG the names are CSS variables; `prefers-color-scheme` chooses their values, even inside an <img>. In a PNG the
 * light values replace them. The first colours are Okabe and Ito's, which colour-blind people can tell apart; on dark
 * paper they are lighter.
 */

interface Colours {
  readonly paper: string;
  readonly ink: string;
  readonly muted: string;
  readonly series: readonly string[];
}

const LIGHT: Colours = {
  paper: "#ffffff",
  ink: "#1f2328",
  muted: "#6e7781",
  series: [
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#b58900",
    "#56b4e9",
    "#6e5494",
    "#7f7f7f",
    "#8c564b",
    "#1b7837",
    "#c51b7d",
    "#2f4b7c",
  ],
};
const DARK: Colours = {
  paper: "#0d1117",
  ink: "#e6edf3",
  muted: "#8b949e",
  series: [
    "#58a6ff",
    "#ff8c42",
    "#3fb98c",
    "#e59ac0",
    "#e3c04a",
    "#8fd3ff",
    "#b39ddb",
    "#b0b0b0",
    "#c9a18f",
    "#7fd18b",
    "#ff7ab8",
    "#8fa8d8",
  ],
};

export const INK = "var(--ink)";
export const MUTED = "var(--muted)";
export const PAPER = "var(--paper)";

/** The colour of the nth series; they repeat after a dozen. */
export function seriesColour(index: number): string {
  return `var(--series-${index % LIGHT.series.length})`;
}

/** The style sheet that gives the names their values. */
export function styleSheet(): string {
  return `svg{${variables(LIGHT)}}@media (prefers-color-scheme:dark){svg{${variables(DARK)}}}`;
}

/** The drawing in light colours, for programs that know no variables. */
export function withLightColours(svg: string): string {
  return svg.replaceAll(/var\(--([a-z]+)(?:-(\d+))?\)/g, (_, name: string, index: string | undefined) => {
    if (index !== undefined) return LIGHT.series[Number(index)] ?? LIGHT.ink;
    return name === "paper" ? LIGHT.paper : name === "muted" ? LIGHT.muted : LIGHT.ink;
  });
}

function variables({ paper, ink, muted, series }: Colours): string {
  const named = { paper, ink, muted };
  return [
    ...Object.entries(named).map(([name, value]) => `--${name}:${value}`),
    ...series.map((value, index) => `--series-${index}:${value}`),
  ].join(";");
}
