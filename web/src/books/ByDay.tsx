/** What each day took: bars, and the same as a table. */

import { useMemo, useState } from "preact/hooks";
import { count } from "../format";
import { Choice } from "../ui/Choice";
import { later } from "../ui/later";
import { Amount, Mark } from "../ui/Mark";
import { dayWords, everyDay, MEASURE_WORDS, measured, MEASURES, today, type Measure } from "./days";
import type { Row } from "./shape";

const DayChart = later(() => import("./DayChart").then((module) => module.DayChart));

export function ByDay({ rows, days }: { rows: Row[]; days: number }) {
  // Money where any is known; a page of "unknown" helps nobody.
  const [chosen, choose] = useState<Measure | null>(null);
  const known = MEASURES.filter((one) => rows.some((row) => measured(row, one).value !== null));
  const measure = chosen ?? known[0] ?? "tokens";
  const now = Date.now();
  const all = useMemo(() => everyDay(rows, today(Date.now()), days), [rows, days]);
  return (
    <section aria-labelledby="by-day">
      <header class="head">
        <h2 id="by-day">By day</h2>
        <Choice
          legend="What the bars show"
          name="measure"
          options={MEASURES.map((one) => [one, MEASURE_WORDS[one].toLowerCase()] as const)}
          value={measure}
          choose={(value) => choose(value as Measure)}
        />
      </header>
      {known.includes(measure) ? (
        <DayChart days={all} measure={measure} />
      ) : (
        <p class="quiet">
          {MEASURE_WORDS[measure]} is unknown for all of these days. “What this machine costs” below says how to make it known.
        </p>
      )}
      <details class="same">
        <summary class="act">The same as a table</summary>
        <div class="wide" tabIndex={0} role="group" aria-labelledby="by-day">
          <table>
            <thead>
              <tr>
                <th scope="col">Day</th>
                <th scope="col" class="n">Answers</th>
                <th scope="col" class="n">Tokens</th>
                <th scope="col" class="n">Time</th>
                <th scope="col" class="n">Energy</th>
                <th scope="col" class="n">Money</th>
              </tr>
            </thead>
            <tbody>
              {[...rows].sort((a, b) => (a.key < b.key ? 1 : -1)).map((row) => (
                <tr key={row.key}>
                  <th scope="row">{dayWords(row.key, now)}</th>
                  <td class="n">{count(row.answers)}</td>
                  <td class="n">
                    {count(row.prompt_tokens + row.completion_tokens)}
                    <Mark basis="measured" />
                  </td>
                  <td class="n"><Amount of={row.wall} /></td>
                  <td class="n"><Amount of={row.energy} /></td>
                  <td class="n"><Amount of={row.money} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </section>
  );
}
