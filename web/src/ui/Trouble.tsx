/** An answer that failed, or was ended by the budget: what happened, in words, and the ways on. */

import { useLayoutEffect, useRef } from "preact/hooks";
import { regenerate } from "../actions";
import { plural } from "../format";
import { onLink } from "../router";
import * as state from "../state";
import type { Message } from "../types";
import { Told } from "./Told";
import { startOver } from "./startOver";

const TITLES: Record<string, string> = {
  context_length_exceeded: "This chat is too long for the model.",
  engine_crashed: "The engine stopped in the middle of the answer.",
  engine_unavailable: "The engine cannot be reached.",
  too_many_requests: "Too many questions are waiting.",
  model_not_found: "That model is not here any more.",
  budget: "The budget is used up.",
  upstream_timeout: "The remote engine went silent.",
};

export function Trouble({ message }: { message: Message }) {
  const error = message.error ?? { message: "The answer failed.", code: "engine_error" };
  const tooLong = error.code === "context_length_exceeded";
  const title = TITLES[error.code];
  return (
    <div class="trouble" role="alert">
      {title && <strong>{title}</strong>}
      <p>
        {tooLong && error.over ? `It is ${plural(error.over, "token")} too long. Nothing was left out.` : <Told text={error.message} />}
        {message.status === "failed" && (message.content || message.thinking) ? " What had come is kept." : ""}
      </p>
      {!state.gone.value && (
        <p class="acts">
          {tooLong ? (
            <>
              <button type="button" class="act" onClick={() => startOver(message)}>
                Start a new chat
              </button>
              <button type="button" class="act" onClick={() => void regenerate(message, { drop_oldest: true })}>
                Leave out the oldest turns
              </button>
            </>
          ) : (
            <>
              {error.code === "budget" && (
                <a class="act" href="/books" onClick={onLink}>
                  See the books
                </a>
              )}
              {message.status === "failed" && (
                <button type="button" class="act" onClick={() => void regenerate(message)}>
                  {error.code === "model_not_found" && state.model.value
                    ? `Try again with ${state.model.value.name}`
                    : "Try again"}
                </button>
              )}
            </>
          )}
        </p>
      )}
    </div>
  );
}

/** A question that the day's budget refused: told where its answer would be; the question stays in the box. */
export function Refused() {
  const notice = state.notice.value;
  const box = useRef<HTMLDivElement>(null);
  // Wherever the reader was: it answers what they just asked.
  useLayoutEffect(() => box.current?.scrollIntoView({ block: "nearest" }), [notice]);
  if (!notice?.budget) return null;
  return (
    <div ref={box} class="trouble" role="alert">
      <strong>{TITLES["budget"]}</strong>
      <p><Told text={notice.text} /></p>
      <p class="acts">
        <a class="act" href="/books" onClick={onLink}>
          See the books
        </a>
        <button type="button" class="act" onClick={() => (state.notice.value = null)}>
          Dismiss
        </button>
      </p>
    </div>
  );
}
