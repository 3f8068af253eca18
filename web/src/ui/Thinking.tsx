/** The workings in the margin: a window pinned to its end while the model thinks, folded when it answers. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { duration, thoughtFor } from "../format";
import type { Entry } from "../stream";
import { Prose } from "./Prose";

export function Thinking({ entry }: { entry: Entry }) {
  const { message, thinkingSeenAt } = entry;
  const text = message.thinking ?? "";
  const streaming = message.status === "generating" && message.content === "" && message.thinking_ended_at === null;
  /** What the reader chose; null while untouched, and then it is open exactly as long as it streams. */
  const [chosen, choose] = useState<boolean | null>(null);
  const open = chosen ?? streaming;
  const body = useRef<HTMLDivElement>(null);
  const pinned = useRef(true);

  useLayoutEffect(() => {
    const box = body.current;
    if (box && streaming && pinned.current) box.scrollTop = box.scrollHeight;
  }, [text, streaming, open]);

  const onScroll = () => {
    const box = body.current;
    if (box) pinned.current = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
  };
  const id = `thinking-${message.id}`;
  return (
    <section class="thinking" data-streaming={streaming || undefined}>
      <button type="button" class="fold" aria-expanded={open} aria-controls={id} onClick={() => choose(!open)}>
        <span class="caret" aria-hidden="true" />
        {streaming ? <Clock since={thinkingSeenAt} /> : <span>{doneWords(entry)}</span>}
      </button>
      {open && (
        <div id={id} class="workings" ref={body} onScroll={onScroll} tabIndex={0} aria-label="Thinking">
          <Prose text={text} growing={streaming} />
        </div>
      )}
    </section>
  );
}

function doneWords({ message }: Entry): string {
  const { thinking_started_at: start, thinking_ended_at: end } = message;
  if (start !== null && end !== null) return `Thought for ${thoughtFor(end - start)}`;
  return message.status === "complete" ? "Thought" : "Thought, and was cut off";
}

/** Seconds since the first thinking arrived, by this browser's clock. */
function Clock({ since }: { since: number | null }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = window.setInterval(() => tick((n) => n + 1), 1000);
    return () => window.clearInterval(timer);
  }, []);
  const seconds = since === null ? 0 : (Date.now() - since) / 1000;
  return (
    <span>
      Thinking…{seconds >= 2 && <span class="quiet num"> {seconds < 10 ? `${Math.floor(seconds)} s` : duration(seconds)}</span>}
    </span>
  );
}
