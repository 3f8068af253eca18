/** Which input moves the result most: one bar each, the longest first. For the eye: the labels say the same. */

export interface Swing {
  label: string;
  /** The result with the input at the lower and at the upper end of what it may be. */
  low: number;
  high: number;
  /** What the input goes from and to, in words. */
  range?: string;
}

interface TornadoProps {
  swings: readonly Swing[];
  centre: number;
  /** Both ends of a swing, in words. */
  format: (low: number, high: number) => string;
}

export function Tornado({ swings, centre, format }: TornadoProps) {
  const all = swings.flatMap(({ low, high }) => [low, high]).concat(centre);
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const room = (most - least) * 0.04 || Math.abs(centre) * 0.05 || 1;
  const place = (value: number) => `${((100 * (value - least + room)) / (most - least + 2 * room)).toFixed(2)}%`;
  return (
    <ul class="tornado">
      {swings.map((swing) => {
        const [from, to] = [Math.min(swing.low, swing.high), Math.max(swing.low, swing.high)];
        return (
          <li key={swing.label}>
            <span class="what">
              {swing.label}
              {swing.range && <small>{swing.range}</small>}
            </span>
            <span class="rail" aria-hidden="true">
              <i class="centre" style={{ left: place(centre) }} />
              <i class="swing" style={{ left: place(from), right: `calc(100% - ${place(to)})` }} />
            </span>
            <span class="n">{format(from, to)}</span>
          </li>
        );
      })}
    </ul>
  );
}
