/** One claim, examined: the verdict stays in sight while its inputs, and what follows from them, are looked at. */

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { significant } from "../quantity";
import { onLink } from "../router";
import { CopyButton } from "../ui/CopyButton";
import { Legend, Mark } from "../ui/Mark";
import { Arithmetic, Checks, Solved } from "./Arithmetic";
import { Around } from "./Around";
import { Conventions } from "./Conventions";
import { Rail } from "./Scale";
import type { Examination } from "./shape";
import { Sliders } from "./Sliders";
import { Tornado } from "./Tornado";
import { useExamination } from "./useExamination";
import { capital, commandFor, headlineWords, SCOPES, solvedAs, statusWords, swingWords, targetName } from "./words";

export function ClaimPage({ name }: { name: string }) {
  const { shown, base, changes, change, busy, trouble, refused } = useExamination(name);
  const title = useRef<HTMLHeadingElement>(null);
  const heading = base?.claim.title ?? (trouble ? "Not found" : "…");
  useLayoutEffect(() => title.current?.focus({ preventScroll: true }), []);
  useEffect(() => {
    if (base) document.title = `${base.claim.title} · Audit · ClearSeek`;
  }, [base]);
  return (
    <>
      <p class="up">
        <a class="act" href="/audit" onClick={onLink}>
          ← All claims
        </a>
      </p>
      <h1 ref={title} tabIndex={-1}>
        {heading}
      </h1>
      {trouble && <p role="alert">{trouble}</p>}
      {!trouble && !shown && <p class="quiet">Reckoning…</p>}
      {base && shown && (
        <>
          <p class="quiet num">{[base.claim.date, SCOPES[base.claim.scope] ?? base.claim.scope, base.claim.chip].filter(Boolean).join(" · ")}</p>
          {base.claim.summary && <p class="summary">{base.claim.summary}</p>}
          <div class="moved">
            <Verdict examination={shown} changed={changes.size} busy={busy} />
            {refused && (
              <p class="refused" role="alert">
                {refused}
              </p>
            )}
            {shown.warnings.length > 0 && (
              <ul class="warnings" aria-label="Warnings">
                {shown.warnings.map((warning) => (
                  <li key={warning}>{warning}</li>
                ))}
              </ul>
            )}
            {base.inputs.length > 0 && (
              <section aria-labelledby="move">
                <header class="head">
                  <h2 id="move">What if its numbers were other?</h2>
                  {changes.size > 0 && (
                    <button type="button" class="act" onClick={() => change(new Map())}>
                      Back to the claim as it stands
                    </button>
                  )}
                </header>
                <Sliders inputs={base.inputs} changes={changes} change={change} />
              </section>
            )}
            <Conventions examination={shown} />
            <Checks checks={shown.checks} />
          </div>
          <Swings examination={shown} />
          <Arithmetic lines={shown.lines} />
          <Solved solved={shown.solved} />
          <Around examination={shown} />
          <section aria-labelledby="sources">
            <h2 id="sources">Notes and sources</h2>
            <ul class="plain">
              {[...base.claim.notes, ...base.claim.sources].map((line) => (
                <li key={line}>{line}</li>
              ))}
            </ul>
            <Legend />
          </section>
          <section aria-labelledby="terminal">
            <h2 id="terminal">The same in a terminal</h2>
            <p class="command">
              <code>{commandFor(name, changes, base.inputs)}</code> <CopyButton text={commandFor(name, changes, base.inputs)} />
            </p>
          </section>
        </>
      )}
    </>
  );
}

function Verdict({ examination, changed, busy }: { examination: Examination; changed: number; busy: boolean }) {
  const { status, headline, why, goodput, shares } = examination.verdict;
  // The mark stays with the last word.
  const [, rest = "", last = ""] = /^(.*?)(\S*)$/s.exec(headlineWords(headline)) ?? [];
  const likely = Object.entries(shares).filter(([, share]) => share >= 0.0005 && share < 0.9995);
  return (
    <>
      <div class="verdict" aria-live="polite" aria-atomic="true" aria-busy={busy}>
        <div class="stand">
          <p class="status" data-status={status}>
            {capital(statusWords(status))}
          </p>
          {goodput.value !== null && (
            <Rail
              bands={examination.bands.map(({ status, low, high }) => ({ name: status, from: low, to: high }))}
              point={{ label: status, value: goodput.value, low: goodput.low ?? null, high: goodput.high ?? null }}
            />
          )}
        </div>
        <p>
          {rest}
          <span class="amount">
            {last}
            {goodput.value !== null && <Mark basis={goodput.basis} how={goodput.how} />}
          </span>
        </p>
      </div>
      <p class="quiet why">
        {why}
        {likely.length > 0 &&
          ` Of ${examination.draws.toLocaleString("en-US")} draws from its intervals: ${likely
            .map(([band, share]) => `${significant(100 * share)}% ${band}`)
            .join(", ")}.`}
        {changed > 0 && ` This is not the claim as it stands: ${changed === 1 ? "one number was" : `${changed} numbers were`} moved.`}
      </p>
    </>
  );
}

function Swings({ examination }: { examination: Examination }) {
  const { swings, swing_target: target, solved, verdict } = examination;
  if (swings.length === 0) return null;
  const found = target === "mfu" ? verdict.goodput.value : solved.find((one) => one.target === solvedAs(target))?.quantity.value;
  const crossing = swings.filter(({ crosses }) => crosses).map(({ label }) => label);
  return (
    <section aria-labelledby="swings">
      <h2 id="swings">What moves it most</h2>
      <p class="quiet">
        {targetName(target)} at both ends of each input, the others kept.
        {crossing.length > 0 ? ` The verdict changes with: ${crossing.join(", ")}.` : " None of them changes the verdict."}
      </p>
      <Tornado
        swings={swings.map(({ label, words, at_low: low, at_high: high }) => ({ label, low, high, range: words }))}
        centre={found ?? (swings[0]!.at_low + swings[0]!.at_high) / 2}
        format={(low, high) => swingWords(target, low, high)}
      />
    </section>
  );
}
