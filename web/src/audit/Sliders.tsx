/** The claim's numbers, to be moved: what would the verdict be if they were other? */

import { Mark } from "../ui/Mark";
import { positionOf, valueAt, type Changes } from "./changes";
import type { Input } from "./shape";
import { inputWords } from "./words";

/** Steps of a slider: fine enough for three digits, and a key press still moves it visibly. */
const STEPS = 400;

interface SlidersProps {
  /** As the claim stands. */
  inputs: readonly Input[];
  changes: Changes;
  change: (changes: Changes) => void;
}

export function Sliders({ inputs, changes, change }: SlidersProps) {
  const set = (path: string, value: number | null) => {
    const next = new Map(changes);
    if (value === null) next.delete(path);
    else next.set(path, value);
    change(next);
  };
  return (
    <div class="inputs">
      {inputs.map((input) => {
        const changed = changes.get(input.path);
        const own = input.quantity.value ?? input.low;
        return (
          <Slider
            key={input.path}
            input={input}
            value={typeof changed === "number" ? changed : own}
            changed={changed !== undefined}
            set={(value) => set(input.path, value)}
          />
        );
      })}
    </div>
  );
}

interface SliderProps {
  input: Input;
  value: number;
  changed: boolean;
  set: (value: number | null) => void;
}

function Slider({ input, value, changed, set }: SliderProps) {
  const { low, high, log, quantity } = input;
  const id = `input-${input.path.replaceAll(".", "-")}`;
  const words = inputWords(input, value);
  return (
    <div class="input" data-changed={changed || undefined} data-path={input.path}>
      <label for={id}>{input.label}</label>
      <output for={id}>
        {words}
        <Mark
          basis={changed ? "declared" : quantity.basis}
          how={changed ? "moved by you" : input.assumed ? `assumed. ${quantity.how}` : quantity.how}
        />
      </output>
      <input
        id={id}
        type="range"
        min={0}
        max={STEPS}
        step={1}
        value={Math.round(STEPS * positionOf(value, low, high, log))}
        aria-valuetext={words}
        onInput={(event) => set(valueAt(Number(event.currentTarget.value) / STEPS, low, high, log))}
      />
      <span class="under-slider">
        {changed ? (
          <button type="button" class="act" onClick={() => set(null)} aria-label={`${input.label}: back to the claim's`}>
            back to {inputWords(input, quantity.value ?? low)}
          </button>
        ) : (
          input.assumed && <span>assumed, not claimed</span>
        )}
      </span>
    </div>
  );
}
