/** Shares of a peak, each on a line over the bands that verdicts are made of. For the eye: a table says the same. */

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

interface ScaleProps {
  bands: readonly Band[];
  groups: readonly { title: string; points: readonly Point[] }[];
  label: string;
}

/** The right end of a line; what lies beyond it is drawn at the end, as an arrow. */
const END = 1;
const place = (value: number): string => `${(100 * Math.min(1, Math.max(0, value / END))).toFixed(2)}%`;
const between = (from: number, to: number) => ({ left: place(from), right: `calc(100% - ${place(to)})` });

export function Scale({ bands, groups, label }: ScaleProps) {
  return (
    <div class="scale" role="img" aria-label={label}>
      <div class="rail names" aria-hidden="true">
        {bands.map((band) => (
          <span key={band.name} class="band" style={between(band.from, band.to ?? END)}>
            <b>{band.name}</b>
          </span>
        ))}
      </div>
      {groups.map(({ title, points }) => (
        <div key={title} aria-hidden="true">
          <p class="over">
            <span>{title}</span>
            <Rail bands={bands} />
          </p>
          {points.map((point) => (
            <div key={point.label} class="line" data-named={point.named || undefined}>
              <span class="what">{point.label}</span>
              <Rail bands={bands} point={point} />
              <span class="n">{(100 * point.value).toFixed(point.value < 0.0995 ? 1 : 0)}%</span>
            </div>
          ))}
        </div>
      ))}
      <div class="rail ticks" aria-hidden="true">
        {bands
          .filter((band) => band.from > 0)
          .map((band) => (
            <span key={band.name} style={{ left: place(band.from) }}>
              {Math.round(100 * band.from)}%
            </span>
          ))}
      </div>
    </div>
  );
}

/** One value among the bands, without words: for where the words stand beside it. */
export function Rail({ bands, point }: { bands: readonly Band[]; point?: Point }) {
  return (
    <span class="rail" aria-hidden="true">
      {bands.map((band) => (
        <i key={band.name} class="band" data-band={band.name} style={between(band.from, band.to ?? END)} />
      ))}
      {point?.low != null && point.high != null && point.low < point.high && (
        <i class="range" style={between(point.low, point.high)} />
      )}
      {point && <i class="dot" data-beyond={point.value > END || undefined} style={{ left: place(point.value) }} />}
    </span>
  );
}
