/** A small line: how many starts there were between two answers of the daemon. Told in words beside it. */
/** How many starts there have been. */
export interface Sample {
  readonly at: number;
  readonly total: number;
}

const WIDTH = 120;
const HEIGHT = 24;

export function Rate({ samples }: { readonly samples: readonly Sample[] }) {
  const rates = samples.slice(1).map(({ at, total }, index) => {
    const before = samples[index];
    const seconds = (at - (before?.at ?? at)) / 1000;
    return seconds <= 0 ? 0 : Math.max(0, total - (before?.total ?? total)) / seconds;
  });
  const most = Math.max(0.5, ...rates);
  const step = WIDTH / Math.max(1, rates.length - 1);
  const points = rates.map(
    (rate, index) => `${(index * step).toFixed(1)},${(HEIGHT - 2 - (rate / most) * (HEIGHT - 4)).toFixed(1)}`,
  );
  return (
    <svg
      className="rate"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
      focusable="false"
    >
      <path className="rate-ground" d={`M0,${HEIGHT - 1.5}H${WIDTH}`} />
      {points.length > 1 && <path d={`M${points.join("L")}`} />}
    </svg>
  );
}
