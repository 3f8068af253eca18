/** The same spending split another way: by model, by chat, by kind of work. */

import { useState } from "preact/hooks";
import { count } from "../format";
import { addressOf, onLink } from "../router";
import { Choice } from "../ui/Choice";
import { Amount, Mark } from "../ui/Mark";
import { measured, MEASURES } from "./days";
import { unpriced, useBooks } from "./load";
import type { By, Row } from "./shape";

const WAYS: readonly (readonly [By, string])[] = [
  ["model", "model"],
  ["conversation", "chat"],
  ["kind", "kind of work"],
];
const HEADINGS: Record<By, string> = { day: "Day", model: "Model", conversation: "Chat", kind: "Kind of work" };
/** More rows than this are behind a button. */
const FIRST = 10;

export function Breakdown({ days }: { days: number }) {
  const [by, setBy] = useState<By>("model");
  const { books, trouble } = useBooks(days, by);
  const [all, showAll] = useState(false);
  const rows = books?.by === by ? books.rows : [];
  return (
    <section aria-labelledby="split">
      <header class="head">
        <h2 id="split">By {WAYS.find(([key]) => key === by)?.[1]}</h2>
        <Choice legend="Split by" name="by" options={WAYS} value={by} choose={(value) => setBy(value as By)} />
      </header>
      {trouble && <p role="alert">{trouble}</p>}
      <div class="wide" tabIndex={0} role="group" aria-labelledby="split" aria-busy={books?.by !== by}>
        <Table by={by} rows={all ? rows : rows.slice(0, FIRST)} of={rows} />
      </div>
      {rows.length > FIRST && !all && (
        <button type="button" class="act" onClick={() => showAll(true)}>
          All {count(rows.length)}
        </button>
      )}
    </section>
  );
}

function Table({ by, rows, of }: { by: By; rows: Row[]; of: Row[] }) {
  // The bars show the first measure that is known everywhere: shares of different things could not be compared.
  const measure = MEASURES.find((one) => of.every((row) => measured(row, one).value !== null)) ?? "tokens";
  const sum = of.reduce((total, row) => total + (measured(row, measure).value ?? 0), 0);
  const share = (row: Row) => (sum > 0 ? (measured(row, measure).value ?? 0) / sum : 0);
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">{HEADINGS[by]}</th>
          <th scope="col">Share of {measure}</th>
          <th scope="col" class="n">Answers</th>
          <th scope="col" class="n">Tokens</th>
          <th scope="col" class="n">Time</th>
          <th scope="col" class="n">Energy</th>
          <th scope="col" class="n">Money</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.key}>
            <th scope="row" title={row.label}>
              <Label by={by} row={row} />
            </th>
            <td>
              <span class="share" title={`${(100 * share(row)).toFixed(1)}%`}>
                <i style={{ width: `${(100 * share(row)).toFixed(2)}%` }} />
                <span class="offscreen">{Math.round(100 * share(row))}%</span>
              </span>
            </td>
            <td class="n">{count(row.answers)}</td>
            <td class="n">
              {count(row.prompt_tokens + row.completion_tokens)}
              <Mark basis="measured" />
            </td>
            <td class="n"><Amount of={row.wall} /></td>
            <td class="n"><Amount of={row.energy} /></td>
            <td class="n" title={unpriced(row) ?? undefined}>
              <Amount of={row.money} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Label({ by, row }: { by: By; row: Row }) {
  if (by !== "conversation" || !row.key) return <span class="label">{row.label || "not named"}</span>;
  return (
    <a class="act label" href={addressOf(row.key)} onClick={onLink}>
      {row.label || "Untitled"}
    </a>
  );
}
