/** What stands around the number: what binds, what else could have done it, what it costs, what its scope is. */

import { plural } from "../format";
import { amount } from "../quantity";
import { Amount, Mark } from "../ui/Mark";
import type { Examination } from "./shape";

export function Around({ examination }: { examination: Examination }) {
  const { binds, deadlines, scenarios, costs, fleet, scope, legality } = examination;
  const known = binds.some(({ days }) => days.value !== null) ? binds.filter(({ words, days }) => words || days.value !== null) : [];
  return (
    <>
      {known.length > 0 && (
        <section aria-labelledby="binds">
          <h2 id="binds">What binds</h2>
          <ol class="steps">
            {known.map((one) => (
              <li key={one.resource}>
                <span>
                  {one.resource}
                  {one.binds && <strong class="binds"> binds</strong>}
                </span>
                <span class="by">{one.words}</span>
                <span class="n">{one.days.value === null ? "" : <Amount of={one.days} />}</span>
              </li>
            ))}
          </ol>
          {deadlines.length > 0 && (
            <p class="quiet num">
              The same chip-hours take{" "}
              {deadlines.map((one, index) => (
                <span key={one.days}>
                  {index > 0 && ", "}
                  <span title={amount(one.chips)}>{plural(Math.round(one.chips.value ?? 0), "chip")}</span> for {Math.round(one.days)} days
                  {one.own && " (as claimed)"}
                </span>
              ))}
              .<Mark basis="modelled" how="chip-hours / (24 x days)" />
            </p>
          )}
        </section>
      )}
      {scenarios.length > 0 && (
        <section aria-labelledby="scenarios">
          <h2 id="scenarios">The same work otherwise</h2>
          <ol class="steps">
            {scenarios.map((one) => (
              <li key={one.what}>
                <span>
                  {one.what}
                  {one.own && <small>as claimed</small>}
                </span>
                <span class="by">{one.words}</span>
                <span class="n"><Amount of={one.amount} /></span>
              </li>
            ))}
          </ol>
        </section>
      )}
      {costs.length > 0 && (
        <section aria-labelledby="costs">
          <h2 id="costs">What it would cost</h2>
          <ol class="steps">
            {costs.map((one) => (
              <li key={one.what}>
                <span>{one.what}</span>
                <span class="by">{one.each.value === null ? one.whole.how : `${amount(one.each)}: ${one.each.how}`}</span>
                <span class="n"><Amount of={one.whole} /></span>
              </li>
            ))}
          </ol>
        </section>
      )}
      {fleet && (
        <section aria-labelledby="fleet">
          <h2 id="fleet">The fleet</h2>
          <dl class="facts">
            <div><dt>Claimed</dt><dd><Amount of={fleet.claimed} /></dd></div>
            <div><dt>In evidence at one time, at least</dt><dd><Amount of={fleet.floor} /></dd></div>
            <div><dt>At most</dt><dd><Amount of={fleet.ceiling} /></dd></div>
            {fleet.capacity.value !== null && <div><dt>Peak of all together</dt><dd><Amount of={fleet.capacity} /></dd></div>}
          </dl>
          <ul class="plain">
            {fleet.lines.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </section>
      )}
      <section aria-labelledby="scope">
        <h2 id="scope">What it is about</h2>
        <p>This claim is about {scope}.</p>
        {legality.length > 0 && (
          <>
            <h3>Export rules on that day: context, not guilt</h3>
            <ul class="plain">
              {legality.map((line) => (
                <li key={line}>{line}</li>
              ))}
            </ul>
          </>
        )}
      </section>
    </>
  );
}
