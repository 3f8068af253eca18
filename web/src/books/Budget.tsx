/** How much of the day's budget is used, and when it begins anew. */

import { amount } from "../quantity";
import { Mark } from "../ui/Mark";
import type { BudgetState, Cap } from "./shape";

export function Budget({ budget }: { budget: { day: BudgetState | null; key: BudgetState | null } }) {
  const parts = [
    ...caps("Today, all together", budget.day),
    ...caps("Today, with this key", budget.key),
  ];
  return (
    <section aria-labelledby="budget">
      <h2 id="budget">Budget</h2>
      {parts.length === 0 ? (
        <p class="quiet">
          None is set, so nothing is ever refused. <code>[budget]</code> in <code>config.toml</code> sets one for each day, such
          as <code>tokens_per_day = 200_000</code> or, with a price declared, <code>usd_per_day = 0.50</code>.
        </p>
      ) : (
        parts.map((part) => <Meter key={part.name} {...part} />)
      )}
    </section>
  );
}

interface MeterProps extends Cap {
  name: string;
  resets: string | null;
}

function caps(name: string, state: BudgetState | null): MeterProps[] {
  if (!state) return [];
  const resets = resetWords(state.resets_at, Date.now());
  return [state.tokens && { name: `${name}: tokens`, resets, ...state.tokens }, state.money && { name: `${name}: money`, resets, ...state.money }].filter(
    (one) => one !== null,
  );
}

/** "at 00:00, in 5 hours". Null where it is not told. */
export function resetWords(at: number | string | null, now: number): string | null {
  if (at === null) return null;
  const time = typeof at === "number" ? at * 1000 : Date.parse(at);
  if (!Number.isFinite(time)) return null;
  const hours = Math.max(0, time - now) / 3_600_000;
  const wait = hours >= 1.5 ? `${Math.round(hours)} hours` : hours >= 0.75 ? "an hour" : `${Math.max(1, Math.round(hours * 60))} minutes`;
  return `at ${new Date(time).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}, in ${wait}`;
}

function Meter({ name, cap, spent, resets }: MeterProps) {
  const part = spent.value === null || !cap.value ? null : Math.min(1, spent.value / cap.value);
  const words = `${amount(spent)} of ${amount(cap)}`;
  return (
    <div class="budget" data-full={part !== null && part >= 1 ? true : undefined}>
      <p>
        <span>{name}</span>
        <span class="num">
          {words}
          <Mark basis={spent.basis} how={spent.how} />
        </span>
      </p>
      <div
        class="gauge"
        role="meter"
        aria-label={name}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={part === null ? undefined : Math.round(100 * part)}
        aria-valuetext={words}
      >
        {part !== null && <i style={{ width: `${(100 * part).toFixed(2)}%` }} />}
      </div>
      <p class="quiet">
        {part !== null && part >= 1 ? "Used up: questions are refused until it begins anew" : "Begins anew"}
        {resets && ` ${resets}`}.
      </p>
    </div>
  );
}
