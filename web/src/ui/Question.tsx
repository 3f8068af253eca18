/** One question, and its editing: a new version beside the old one. */

import type { Signal } from "@preact/signals";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { ask } from "../actions";
import { gone, sending, writing } from "../state";
import type { Entry } from "../stream";
import type { Message } from "../types";
import { Branches } from "./Branches";
import { Chips } from "./Attachments";
import { CopyButton } from "./CopyButton";
import { grow, isSend } from "./typing";

export function Question({ entry }: { entry: Signal<Entry> }) {
  const { message } = entry.value;
  const [editing, edit] = useState(false);
  const article = useRef<HTMLElement>(null);
  const close = () => {
    edit(false);
    // Back to where it was opened.
    requestAnimationFrame(() => article.current?.querySelector<HTMLElement>("[data-does=edit]")?.focus());
  };
  return (
    <article ref={article} class="question" aria-label="Question" data-id={message.id}>
      {editing ? (
        <Editor message={message} asked={() => edit(false)} close={close} />
      ) : (
        <>
          <div class="asked" dir="auto">
            {message.content}
          </div>
          <Chips list={message.attachments} />
          <span class="acts">
            <Branches id={message.id} />
            {!writing.value && !gone.value && (
              <button type="button" class="act" data-does="edit" onClick={() => edit(true)}>
                Edit
              </button>
            )}
            <CopyButton text={message.content} />
          </span>
        </>
      )}
    </article>
  );
}

function Editor({ message, asked, close }: { message: Message; asked: () => void; close: () => void }) {
  const [text, setText] = useState(message.content);
  const box = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    const area = box.current;
    if (!area) return;
    grow(area);
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }, []);
  const send = async () => {
    if (text.trim() === "" && message.attachments.length === 0) return;
    if ((await ask(text, message.attachments, message.parent_id)) !== null) asked();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (isSend(event)) {
      event.preventDefault();
      void send();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      close();
    }
  };
  return (
    <form
      class="editor"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <textarea
        ref={box}
        dir="auto"
        aria-label="Edit the question"
        rows={1}
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          grow(event.currentTarget);
        }}
        onKeyDown={onKeyDown}
      />
      <Chips list={message.attachments} />
      <span class="acts" data-last>
        <button type="submit" class="act" disabled={sending.value}>
          Ask this instead
        </button>
        <button type="button" class="act" onClick={close}>
          Cancel
        </button>
      </span>
    </form>
  );
}
