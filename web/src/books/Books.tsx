/** The books: what was spent, on what, and whether the ledger that says so is whole. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { download } from "../download";
import { count } from "../format";
import { amount, type Quantity } from "../quantity";
import { Choice } from "../ui/Choice";
import { Amount, Legend, Mark } from "../ui/Mark";
import { Budget } from "./Budget";
import { Breakdown } from "./Breakdown";
import { ByDay } from "./ByDay";
import { Chain } from "./Chain";
import { HostedOffers } from "./Hosted";
import { Prices } from "./Prices";
import { unpriced, useBooks } from "./load";
import type { Totals } from "./shape";
import "../styles/books.css";

const PERIODS = [7, 30, 90, 365];

export function Books() {
  const [days, setDays] = useState(30);
  const { books, trouble } = useBooks(days, "day");
  const title = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => title.current?.focus({ preventScroll: true }), []);
  const here = books !== null;
  useLayoutEffect(() => {
    // `/books#prices`, once there is something to scroll to.
    if (here && location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  }, [here]);
  return (
    <div class="sheet" aria-busy={!books && !trouble}>
      <div class="leaf">
        <header class="head">
          <h1 ref={title} tabIndex={-1}>
            Books
          </h1>
          <Choice
            legend="Period"
            name="period"
            options={PERIODS.map((one) => [String(one), one === 365 ? "a year" : `${one} days`] as const)}
            value={String(days)}
            choose={(value) => setDays(Number(value))}
          />
        </header>
        {trouble && (
          <p role="alert" class="trouble">
            {trouble}
          </p>
        )}
        {books && (
          <>
            <Summary total={books.total} days={days} />
            {books.budget && <Budget budget={books.budget} />}
            {books.total.answers > 0 && (
              <>
                <ByDay rows={books.rows} days={days} />
                <Breakdown days={days} />
              </>
            )}
            <HostedOffers hosted={books.hosted} total={books.total} />
            <Prices rates={books.rates} />
            <Chain chain={books.chain} />
            <section aria-labelledby="marks">
              <h2 id="marks">What the marks mean</h2>
              <Legend />
            </section>
            <section aria-labelledby="take">
              <h2 id="take">Take them with you</h2>
              <p class="acts">
                <button type="button" class="act" onClick={() => void download(`/api/books.csv?days=${days}`, "books.csv")}>
                  By day as CSV
                </button>
                <button type="button" class="act" onClick={() => void download(`/api/books.json?days=${days}`, "books.json")}>
                  By day as JSON
                </button>
              </p>
              <p class="quiet">
                The ledger itself is <code>ledger.jsonl</code> in ClearSeek's folder, one entry a line;{" "}
                <code>clearseek ledger --csv</code> sums it by whatever you ask for.
              </p>
            </section>
          </>
        )}
        {!books && !trouble && <p class="quiet">Adding up…</p>}
      </div>
    </div>
  );
}

function Summary({ total, days }: { total: Totals; days: number }) {
  if (total.answers === 0) {
    return (
      <p class="lead">
        Nothing was spent in {days === 365 ? "this year" : `these ${days} days`}. Ask a question, and what the answer took is
        written here: tokens, seconds, joules and, where a price was declared, money.
      </p>
    );
  }
  const read = total.prompt_tokens - total.cached_tokens;
  return (
    <dl class="totals" aria-label="Total">
      <Figure name={total.answers === 1 ? "answer" : "answers"} value={counted(total.answers)} note={null} />
      <Figure
        name="tokens"
        value={counted(total.prompt_tokens + total.completion_tokens)}
        note={`${count(read)} read, ${count(total.cached_tokens)} reused, ${count(total.completion_tokens)} written`}
      />
      <Figure name="machine time" value={total.wall} note={total.cpu.value === null ? null : `${amount(total.cpu)} of processor time`} />
      <Figure name="energy" value={total.energy} note={null} />
      <Figure name="money" value={total.money} note={unpriced(total)} />
    </dl>
  );
}

function counted(value: number): Quantity {
  return { value, unit: "", basis: "measured", how: "counted" };
}

function Figure({ name, value, note }: { name: string; value: Quantity; note: string | null }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {value.unit === "" ? (
          <>
            {count(value.value ?? 0)}
            <Mark basis={value.basis} how={value.how} />
          </>
        ) : (
          <Amount of={value} />
        )}
      </dd>
      {note && <dd class="note">{note}</dd>}
    </div>
  );
}
