/** The arithmetic, line by line, each with what it rests on. */

import { Mark } from "../ui/Mark";
import type { Check, Line, Solution } from "./shape";

const PROVENANCE: Record<string, string> = {
  primary: "read in the original",
  copy: "from a verbatim copy of the original",
  press: "press or an analyst",
  estimate: "an estimate by others",
  derived: "derived from such",
  recalled: "written from memory, not checked",
  assumed: "assumed here",
};

/** What is said comes before what follows from it. */
const GROUPS: readonly (readonly [string, (kind: string) => boolean])[] = [
  ["Stated", (kind) => kind === "stated"],
  ["From data sheets, or assumed", (kind) => kind !== "stated" && kind !== "computed"],
  ["What follows", (kind) => kind === "computed"],
];

export function Arithmetic({ lines }: { lines: readonly Line[] }) {
  if (lines.length === 0) return null;
  return (
    <section aria-labelledby="arithmetic">
      <h2 id="arithmetic">The arithmetic</h2>
      {GROUPS.map(([title, belongs]) => [title, lines.filter(({ kind }) => belongs(kind))] as const)
        .filter(([, group]) => group.length > 0)
        .map(([title, group]) => (
          <div key={title}>
            <h3>{title}</h3>
            <ol class="steps">
              {group.map((line) => (
                <Step key={line.name} line={line} />
              ))}
            </ol>
          </div>
        ))}
    </section>
  );
}

function Step({ line }: { line: Line }) {
  const { quantity, kind, formula, sum, source, provenance } = line;
  const from = PROVENANCE[provenance] ?? provenance;
  return (
    <li data-kind={kind}>
      <span>{line.label}</span>
      <span class="by">
        {sum ? `${formula}: ${sum}` : formula || source || kind}
        {from && source && <small>{from}</small>}
      </span>
      <span class="n">
        {line.shown}
        <Mark basis={quantity.basis} how={kind === "assumed" ? `assumed. ${quantity.how}` : quantity.how} />
      </span>
    </li>
  );
}

const STATES: Record<Check["state"], string> = { agrees: "agrees", differs: "differs", contradicts: "contradicts" };

export function Checks({ checks }: { checks: readonly Check[] }) {
  if (checks.length === 0) return null;
  return (
    <section aria-labelledby="checks">
      <h2 id="checks">Does it agree with itself?</h2>
      <div class="wide" tabIndex={0} role="group" aria-labelledby="checks">
        <table>
          <thead>
            <tr>
              <th scope="col">Number</th>
              <th scope="col" class="n">Stated</th>
              <th scope="col" class="n">Follows from the rest</th>
              <th scope="col" class="n">Off by</th>
              <th scope="col">So it</th>
            </tr>
          </thead>
          <tbody>
            {checks.map((check, index) => (
              <tr key={index}>
                <th scope="row">
                  {check.label}
                  <small>{check.how}</small>
                </th>
                <td class="n">{check.stated}</td>
                <td class="n">{check.follows}</td>
                <td class="n">{check.off}</td>
                <td>
                  <span class={check.state === "contradicts" ? "bad" : undefined}>{STATES[check.state] ?? check.state}</span>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

export function Solved({ solved: all }: { solved: readonly Solution[] }) {
  const solved = all.filter(({ quantity }) => quantity.value !== null);
  const open = all.filter(({ quantity }) => quantity.value === null);
  if (solved.length === 0) return null;
  return (
    <section aria-labelledby="solved">
      <h2 id="solved">What each number must be, if the rest holds</h2>
      <ol class="steps">
        {solved.map((one) => (
          <li key={one.target}>
            <span>
              {one.label}
              {one.stated && <small>stated: {one.stated}</small>}
            </span>
            <span class="by">
              {one.sum ? `${one.formula}: ${one.sum}` : one.formula || one.quantity.how}
              {one.assumed.map((line) => (
                <small key={line}>{line.startsWith("assumed") ? line : `assumed: ${line}`}</small>
              ))}
            </span>
            <span class="n">
              {one.shown}
              <Mark basis={one.quantity.basis} how={one.quantity.how} />
            </span>
          </li>
        ))}
      </ol>
      {open.length > 0 && <p class="quiet">Nothing in the claim leads to: {open.map(({ label }) => label.toLowerCase()).join(", ")}.</p>}
    </section>
  );
}
