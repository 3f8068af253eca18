/** What the machine's owner declared that it costs; and where they did not, how to. */

import { Amount } from "../ui/Mark";
import type { Rates } from "./shape";

export function Prices({ rates }: { rates: Rates }) {
  const { machine_usd_per_hour: machine, electricity_usd_per_kwh: electricity, watts } = rates;
  const missing = [machine, electricity, watts].some((one) => one.value === null);
  return (
    <section aria-labelledby="prices">
      <h2 id="prices">What this machine costs</h2>
      <dl class="facts">
        <div>
          <dt>The machine</dt>
          <dd><Amount of={machine} /></dd>
        </div>
        <div>
          <dt>Electricity</dt>
          <dd><Amount of={electricity} /></dd>
        </div>
        <div>
          <dt>Power at full load</dt>
          <dd><Amount of={watts} /></dd>
        </div>
        {rates.grid_region && (
          <div>
            <dt>Grid</dt>
            <dd>{rates.grid_region}</dd>
          </div>
        )}
      </dl>
      {missing && (
        <div class="teach">
          <p>
            Only you know what this machine costs you, so nothing is assumed: what is not declared stays unknown. What is declared
            counts from the next answer on.
          </p>
          <pre tabIndex={0}>{rates.how_to_declare}</pre>
        </div>
      )}
    </section>
  );
}
