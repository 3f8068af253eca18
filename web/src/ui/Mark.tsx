/** The small mark behind a number: the fuller the dot, the firmer what the number rests on. */

import { amount, BASES, BASIS_WORDS, basisTitle, type Basis, type Quantity } from "../quantity";

/** `how` is where this number came from; without it the tooltip says what the mark means. */
export function Mark({ basis, how = "" }: { basis: Basis; how?: string }) {
  return (
    <span class="mark" data-basis={basis} title={basisTitle(basis, how)}>
      <Dot basis={basis} />
      <span class="offscreen"> ({basis})</span>
    </span>
  );
}

function Dot({ basis }: { basis: Basis }) {
  return (
    <svg viewBox="0 0 10 10" aria-hidden="true">
      {basis === "unknown" ? (
        <path class="line" d="M2.6 3.1a2.4 2.4 0 1 1 3.6 2.1C5.3 5.8 5 6.2 5 7M5 9.2v.1" />
      ) : (
        <>
          <circle class="line" cx="5" cy="5" r="3.9" />
          {basis === "measured" && <circle class="full" cx="5" cy="5" r="4" />}
          {basis === "modelled" && <path class="full" d="M5 1a4 4 0 0 0 0 8Z" />}
        </>
      )}
    </svg>
  );
}

/** A quantity as people read it, with its mark. */
export function Amount({ of }: { of: Quantity }) {
  return (
    <span class="amount">
      {amount(of)}
      <Mark basis={of.basis} how={of.how} />
    </span>
  );
}

/** What the marks mean. */
export function Legend() {
  return (
    <dl class="legend">
      {BASES.map((basis) => (
        <div key={basis}>
          <dt>
            <span class="mark" data-basis={basis}>
              <Dot basis={basis} />
            </span>
            {basis}
          </dt>
          <dd>{BASIS_WORDS[basis]}</dd>
        </div>
      ))}
    </dl>
  );
}
