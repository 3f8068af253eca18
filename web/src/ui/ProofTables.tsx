/** What a run spent in each stage, and how its model did before and after it: the tables of a receipt. */

import { amount, type Quantity } from "../quantity";
import { Amount } from "./Mark";

export interface Stage {
  name: string;
  kind: string | null;
  quantities: Record<string, Quantity>;
}

export interface Evaluation {
  name: string;
  results: Record<string, Quantity>;
}

const KINDS: Record<string, string> = {
  sft: "learning from examples (SFT)",
  grpo: "reinforcement learning (GRPO)",
  reject: "rejection sampling",
  distill: "distillation",
};
const SPENT = [["wall", "Time"], ["energy", "Energy"], ["money", "Money"]] as const;

export function Stages({ list }: { list: readonly Stage[] }) {
  if (list.length === 0) return null;
  return (
    <>
      <h3 id="proof-stages">What each stage took</h3>
      <div class="table" tabIndex={0} role="group" aria-labelledby="proof-stages">
        <table>
          <thead>
            <tr>
              <th scope="col">Stage</th>
              {SPENT.map(([key, words]) => (
                <th key={key} scope="col" class="n">
                  {words}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {list.map(({ name, kind, quantities }) => (
              <tr key={name}>
                <th scope="row">
                  {name || "(outside the stages)"}
                  {kind && <small>{KINDS[kind] ?? kind}</small>}
                </th>
                {SPENT.map(([key]) => (
                  <td key={key} class="n">
                    {quantities[key] && <Amount of={quantities[key]} />}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

const MOMENTS: Record<string, string> = { "test-before": "Before", "test-after": "After", "test-served": "As served" };
const ORDER = Object.keys(MOMENTS);
const RESULTS: Record<string, string> = {
  accuracy: "Right answers",
  mean: "Right answers, all tasks",
  tokens_per_answer: "Tokens in an answer",
  truncated: "Answers cut at the length limit",
  well_formed: "Answers of the right form",
};
/** Results that are parts of a whole, and read as percent. */
const SHARE = /^(?:accuracy(?:_|$)|mean$|truncated$|well_formed$)/;

export function Evaluations({ list }: { list: readonly Evaluation[] }) {
  const names = [...new Set(list.flatMap(({ results }) => Object.keys(results)))];
  if (names.length === 0) return null;
  const place = ({ name }: Evaluation) => (ORDER.indexOf(name) + 1 || ORDER.length + 1);
  const columns = [...list].sort((a, b) => place(a) - place(b));
  // What sums the others up comes first.
  const rows = names.sort((a, b) => Number(a.startsWith("accuracy_")) - Number(b.startsWith("accuracy_")));
  const changed = changeWords(list);
  return (
    <>
      <h3 id="proof-tests">How it did on its tests</h3>
      {changed && <p>{changed}</p>}
      <div class="table" tabIndex={0} role="group" aria-labelledby="proof-tests">
        <table>
          <thead>
            <tr>
              <th scope="col">Test</th>
              {columns.map(({ name }) => (
                <th key={name} scope="col" class="n">
                  {MOMENTS[name] ?? plainName(name)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row}>
                <th scope="row">{resultName(row)}</th>
                {columns.map(({ name, results }) => (
                  <td key={name} class="n">
                    {results[row] && <Amount of={asRead(row, results[row])} />}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** "accuracy_chain_sum" is "chain sum": the row of a task. */
export function resultName(name: string): string {
  return RESULTS[name] ?? plainName(name.replace(/^accuracy_/, ""));
}

function plainName(name: string): string {
  return name.replace(/[_-]+/g, " ");
}

function asRead(name: string, quantity: Quantity): Quantity {
  if (quantity.unit !== "" || !SHARE.test(name)) return quantity;
  const percent = (value: number | null | undefined) => (value == null ? null : 100 * value);
  return { ...quantity, unit: "percent", value: percent(quantity.value), low: percent(quantity.low), high: percent(quantity.high) };
}

/** What the test after training says against the one before it; null where there are not both. */
export function changeWords(list: readonly Evaluation[]): string | null {
  const of = (name: string) => list.find((one) => one.name === name)?.results["mean"];
  const [before, after] = [of("test-before"), of("test-after")];
  if (before?.value == null || after?.value == null) return null;
  const words = `Right answers: ${amount(asRead("mean", before))} before, ${amount(asRead("mean", after))} after`;
  const [least, most] = [before.low ?? before.value, before.high ?? before.value];
  const [low, high] = [after.low ?? after.value, after.high ?? after.value];
  if (low > most) return `${words}: more, beyond what chance explains.`;
  if (high < least) return `${words}: fewer, beyond what chance explains.`;
  if (least === most && low === high) return `${words}: the same.`;
  return `${words}. The intervals overlap, so these tests do not show that this run made it better or worse at them.`;
}
