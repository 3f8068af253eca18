/** One answer: workings, fair copy, receipt. */

import type { Signal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { continueAnswer, regenerate } from "../actions";
import { progressWords, rate } from "../format";
import { wantExtras } from "../markdown/extras";
import { printing } from "../printing";
import { gone, writing } from "../state";
import type { Entry } from "../stream";
import type { Message } from "../types";
import { Branches } from "./Branches";
import { CopyButton } from "./CopyButton";
import { Prose } from "./Prose";
import { Receipt } from "./Receipt";
import { Thinking } from "./Thinking";
import { Trouble } from "./Trouble";
import { useNear } from "./useNear";

interface AnswerProps {
  entry: Signal<Entry>;
  /** The last message of the conversation as shown. */
  last: boolean;
  /** Surely in the window when the conversation is opened. */
  visible: boolean;
}

export function Answer({ entry, last, visible }: AnswerProps) {
  const { message, progress } = entry.value;
  const growing = message.status === "generating";
  const nothingYet = !message.thinking && !message.content;
  const noAnswer = message.status === "complete" && message.content.trim() === "";
  const box = useRef<HTMLElement>(null);
  // Drawing the Markdown of hundreds of answers takes seconds; of those far away only the plain text is there.
  const near = useNear(box, visible || growing) || printing.value;
  // Printing draws them all at once and cannot wait: what they will need is here by then.
  if (!near && message.content) wantExtras(message.content);
  return (
    <article ref={box} class="answer" aria-label="Answer" aria-busy={growing} data-status={message.status} data-id={message.id}>
      {message.thinking && <Thinking entry={entry.value} />}
      {growing && (nothingYet || progress) && <p class="waiting num">{progressWords(progress)}…</p>}
      {message.content &&
        (near ? <Prose text={message.content} growing={growing} /> : <div class="prose plain" dir="auto">{message.content}</div>)}
      {growing && <Pace entry={entry.value} />}
      {noAnswer && <p class="waiting">The model gave no answer.</p>}
      {(message.status === "failed" || message.error?.code === "budget") && <Trouble message={message} />}
      {!growing && (
        <footer class="under">
          {message.status !== "failed" && <Receipt message={message} />}
          <span class="acts" data-last={last || undefined}>
            <Branches id={message.id} />
            {message.content && <CopyButton text={message.content} />}
            {message.status !== "failed" && <Regenerate message={message} />}
            {last && !gone.value && canContinue(message) && (
              <button type="button" class="act" onClick={() => void continueAnswer(message)}>
                Continue
              </button>
            )}
          </span>
        </footer>
      )}
    </article>
  );
}

/** How fast it is written: a quiet figure, from the second second on. */
function Pace({ entry: { pace } }: { entry: Entry }) {
  const speed = pace && pace.seconds >= 1 ? rate(pace.tokens, pace.seconds) : null;
  return <p class="pace num">{speed}</p>;
}

function Regenerate({ message }: { message: Message }) {
  if (writing.value || gone.value) return null;
  return (
    <button type="button" class="act" onClick={() => void regenerate(message)}>
      Regenerate
    </button>
  );
}

export function canContinue({ status, finish_reason }: Message): boolean {
  return status === "stopped" || status === "interrupted" || finish_reason === "length" || finish_reason === "aborted";
}
