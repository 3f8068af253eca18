/** One claim, several defensible utilisations: where each way of counting puts it among the bands. */

import { significant } from "../quantity";
import { Scale } from "./Scale";
import type { Convention, Examination } from "./shape";
import { statusWords } from "./words";

export function Conventions({ examination }: { examination: Examination }) {
  const { conventions, bands, verdict } = examination;
  if (conventions.length === 0) return null;
  const scale = bands.map(({ status, low, high }) => ({ name: status, from: low, to: high }));
  const peaks = [...new Set(conventions.map(({ peak }) => peak))];
  return (
    <section aria-labelledby="where">
      <h2 id="where">Where it stands</h2>
      <p class="quiet">
        Goodput: the FLOP of the work over what the chip-hours could have done at the peak. The verdict names its peak and its way
        of counting; others are shown, because a number without them means little.
      </p>
      <Scale
        label="Goodput by peak and way of counting, on the bands of the verdict; the table below says the same."
        bands={scale}
        groups={peaks.map((peak) => ({
          title: `Over ${peak}`,
          points: conventions
            .filter((one) => one.peak === peak)
            .map((one) => ({
              label: one.counting,
              value: one.goodput,
              named: one.named,
              ...(one.named ? { low: verdict.goodput.low ?? null, high: verdict.goodput.high ?? null } : {}),
            })),
        }))}
      />
      <details class="same">
        <summary class="act">The same as a table</summary>
        <div class="wide" tabIndex={0} role="group" aria-labelledby="where">
          <table>
            <thead>
              <tr>
                <th scope="col">Counting</th>
                <th scope="col">Peak</th>
                <th scope="col" class="n">FLOP per token</th>
                <th scope="col" class="n">TFLOP/s a chip</th>
                <th scope="col" class="n">Goodput</th>
                <th scope="col">Band</th>
              </tr>
            </thead>
            <tbody>
              {conventions.map((one) => (
                <Row key={`${one.counting} ${one.peak}`} convention={one} />
              ))}
            </tbody>
          </table>
        </div>
        <dl class="bands">
          {bands.map((band) => (
            <div key={band.status}>
              <dt>
                {statusWords(band.status)}, {Math.round(100 * band.low)}%{band.high === null ? " and more" : ` to ${Math.round(100 * band.high)}%`}
              </dt>
              <dd>{band.words}</dd>
            </div>
          ))}
        </dl>
      </details>
    </section>
  );
}

function Row({ convention: one }: { convention: Convention }) {
  return (
    <tr data-named={one.named || undefined}>
      <th scope="row">
        {one.counting}
        {one.named && <small>the verdict stands on this</small>}
        {one.published && <small>{one.published}</small>}
      </th>
      <td>{one.peak}</td>
      <td class="n">{significant(one.flops_per_token / 1e9)} GFLOP</td>
      <td class="n">{significant(one.tflops_per_chip)}</td>
      <td class="n">{significant(100 * one.goodput)}%</td>
      <td>{statusWords(one.status)}</td>
    </tr>
  );
}
