/** Lines from cause to effect, over the rows of the timeline. */
import type { HistoryEntry } from "../../src/contracts/inspection.ts";
import type { TimeScale } from "../model/time-scale.ts";
import type { Row } from "../model/waterfall.ts";

/** As in styles/timeline.css. */
export const ROW_HEIGHT = 24;
/** Places are drawn in thousandths, as the width is not known. */
const WIDTH = 1_000;

export interface ChainProps {
  readonly rows: readonly Row[];
  readonly path: readonly HistoryEntry[];
  readonly scale: TimeScale;
}

export function Chain({ rows, path, scale }: ChainProps) {
  const middle = (id: number): number => (rows.findIndex(({ entry }) => entry.id === id) + 0.5) * ROW_HEIGHT;
  const height = rows.length * ROW_HEIGHT;
  const lines = path.slice(1).map((entry, index) => {
    const cause = path[index];
    const from = cause === undefined ? 0 : Math.min(entry.at, cause.at + (cause.ms ?? 0));
    const [x1, x2] = [scale.place(from) * WIDTH, scale.place(entry.at) * WIDTH];
    return `M${x1.toFixed(1)},${middle(cause?.id ?? 0)}L${x2.toFixed(1)},${middle(entry.id)}`;
  });
  return (
    <svg
      className="chain"
      viewBox={`0 0 ${WIDTH} ${height}`}
      preserveAspectRatio="none"
      style={{ height }}
      aria-hidden="true"
      focusable="false"
    >
      <path d={lines.join("")} />
    </svg>
  );
}
