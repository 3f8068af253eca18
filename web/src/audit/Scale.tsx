/** Shares of a peak on one line, over the bands that verdicts are made of. For the eye: a table says the same. */

export interface Band {
  name: string;
  /** Shares of the peak; null is open. */
  from: number;
  to: number | null;
}

export interface Point {
  label: string;
  value: number;
  low?: number | null;
  high?: number | null;
  /** The one that the verdict stands on. */
  named?: boolean;
}

/** The right end of the line; what lies beyond it is drawn at the end, with an arrow. */
const END = 1;
const place = (value: number): string => `${(100 * Math.min(1, Math.max(0, value / END))).toFixed(2)}%`;

export function Scale({ bands, points, label }: { bands: readonly Band[]; points: readonly Point[]; label: string }) {
  return (
    <div class="scale" role="img" aria-label={label}>
      <div class="track names" aria-hidden="true">
        {bands.map((band) => (
          <span key={band.name} class="band" data-band={band.name} style={{ left: place(band.from), right: `calc(100% - ${place(band.to ?? END)})` }}>
            <b>{band.name}</b>
          </span>
        ))}
      </div>
      {points.map((point) => (
        <div key={point.label} class="line" data-named={point.named || undefined} aria-hidden="true">
          <span class="what">{point.label}</span>
          <span class="track">
            {bands.map((band) => (
              <i key={band.name} class="band" data-band={band.name} style={{ left: place(band.from), right: `calc(100% - ${place(band.to ?? END)})` }} />
            ))}
            {point.low != null && point.high != null && point.low < point.high && (
              <i class="range" style={{ left: place(point.low), right: `calc(100% - ${place(point.high)})` }} />
            )}
            <i class="dot" data-beyond={point.value > END || undefined} style={{ left: place(point.value) }} />
          </span>
          <span class="n">{(100 * point.value).toFixed(point.value < 0.0995 ? 1 : 0)}%</span>
        </div>
      ))}
      <div class="track ticks" aria-hidden="true">
        {bands.filter((band) => band.from > 0).map((band) => (
          <span key={band.name} style={{ left: place(band.from) }}>
            {Math.round(100 * band.from)}%
          </span>
        ))}
      </div>
    </div>
  );
}
