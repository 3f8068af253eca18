/** The empty page teaches: what this model can do, and one thing it cannot. */

import { parameters } from "../format";
import { askThis } from "../sending";
import * as state from "../state";
import type { Starter } from "../types";


export function FirstScreen() {
  const known = state.server.value;
  if (!known) return null;
  if (known.models.length === 0) {
    return (
      <div class="first">
        <h1>No model is installed.</h1>
        <p>
          Run <code>clearseek models pull</code> in a terminal, then reload this page.
        </p>
      </div>
    );
  }
  const model = state.model.value;
  const size = parameters(model?.parameters ?? null);
  const can = known.starters.filter((starter) => starter.can);
  const cannot = known.starters.filter((starter) => !starter.can);
  const byDefault = model?.name === known.default_model;
  return (
    <div class="first">
      <h1>What would you like to know?</h1>
      <p class="quiet">
        {model?.kind === "remote"
          ? "Answers come from a remote engine; your chats are kept here."
          : "The model runs on this machine. Nothing you write leaves it."}
        {size && ` It has ${size} parameters${small(model?.parameters) ? ", which is small: check what it says." : "."}`}
      </p>
      {byDefault && can.length > 0 && (
        <>
          <h2>It can answer</h2>
          <Starters list={can} />
        </>
      )}
      {byDefault && cannot.length > 0 && (
        <>
          <h2>It cannot answer, though it will try</h2>
          <Starters list={cannot} />
        </>
      )}
    </div>
  );
}

function small(count: number | null | undefined): boolean {
  return Boolean(count && count < 3e9);
}

function Starters({ list }: { list: Starter[] }) {
  return (
    <ul class="starters">
      {list.map((starter) => (
        <li key={starter.text}>
          <button
            type="button"
            onClick={() => void askThis(starter.text)}
          >
            {starter.text}
          </button>
          {starter.note && <p class="quiet">{starter.note}</p>}
        </li>
      ))}
    </ul>
  );
}
