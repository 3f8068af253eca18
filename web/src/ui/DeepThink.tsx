/** Whether the model thinks before it answers, and for how long. */

import * as state from "../state";
import type { Effort } from "../types";

const MEANING: Record<Effort, string> = {
  low: "a short think",
  high: "a thorough think",
  max: "as long as it takes",
};

export function DeepThink() {
  const on = state.thinkingOn.value;
  const model = state.model.value;
  const how = model?.thinking === "prompted" ? " This model was not trained to think; it is asked to." : "";
  return (
    <div class="deepthink">
      <button
        type="button"
        role="switch"
        class="switch"
        aria-checked={on}
        title={`Think before answering.${how}`}
        onClick={() => {
          state.thinkingOn.value = !on;
          state.keep("thinking", on ? "off" : "on");
        }}
      >
        <span class="track" aria-hidden="true" />
        DeepThink
      </button>
      {on && (
        <fieldset class="efforts">
          <legend class="offscreen">Effort</legend>
          {(state.server.value?.efforts ?? ["low", "high", "max"]).map((effort) => (
            <label key={effort} title={MEANING[effort]}>
              <input
                type="radio"
                name="effort"
                value={effort}
                checked={state.effort.value === effort}
                onChange={() => {
                  state.effort.value = effort;
                  state.keep("effort", effort);
                }}
              />
              <span>{effort}</span>
            </label>
          ))}
        </fieldset>
      )}
    </div>
  );
}
