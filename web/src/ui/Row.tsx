/** One chat in the list: opening, renaming, deleting, choosing it. */

import { useRef, useState } from "preact/hooks";
import { snippetParts } from "../format";
import { land } from "../found";
import { remove, rename } from "../history";
import { addressOf, onLink } from "../router";
import * as state from "../state";
import type { ConversationRow } from "../types";
import { Bin, Pencil } from "./icons";
import { newChat } from "./newChat";

interface RowProps {
  row: ConversationRow;
  /** The one that Tab stops at. */
  stop: boolean;
  onFocus: () => void;
  /** Whether it is chosen to be deleted; null while nothing is being chosen. */
  picked: boolean | null;
  toggle: () => void;
}

export function Row({ row, stop, onFocus, picked, toggle }: RowProps) {
  const [mode, setMode] = useState<"" | "rename" | "delete">("");
  const current = state.place.value.kind === "chat" && state.opened.value?.id === row.id;
  const title = row.title || "Untitled";
  if (picked !== null) {
    return (
      <li class="row">
        <label class="pick">
          <input type="checkbox" checked={picked} onChange={toggle} />
          <span class="title" dir="auto">{title}</span>
        </label>
      </li>
    );
  }
  if (mode === "rename") return <Renaming row={row} close={() => setMode("")} />;
  if (mode === "delete") return <Deleting row={row} close={() => setMode("")} />;
  const query = state.query.value.trim();
  const onClick = (event: MouseEvent) => {
    onLink(event);
    // What was found is in one of its messages: to there, and on a second time to the next.
    if (event.defaultPrevented && query && row.snippet) void land(row.id, query, row.message ?? null);
  };
  return (
    <li class="row" data-current={current || undefined}>
      <a
        href={addressOf(row.id)}
        aria-current={current ? "page" : undefined}
        title={title}
        tabIndex={stop ? 0 : -1}
        aria-keyshortcuts="F2 Delete"
        onFocus={onFocus}
        onClick={onClick}
      >
        <span class="title" dir="auto">
          {row.generating && <span class="answering" title="An answer is being written" aria-hidden="true" />}
          {title}
          {row.generating && <span class="offscreen">, an answer is being written</span>}
        </span>
        {row.snippet && (
          <span class="snippet" dir="auto">
            {snippetParts(row.snippet).map(({ text, hit }, index) => (hit ? <mark key={index}>{text}</mark> : text))}
          </span>
        )}
      </a>
      <span class="tools">
        <button
          type="button"
          class="icon"
          tabIndex={-1}
          data-does="rename"
          aria-label={`Rename “${title}”`}
          onClick={() => setMode("rename")}
        >
          <Pencil />
        </button>
        <button
          type="button"
          class="icon"
          tabIndex={-1}
          data-does="delete"
          aria-label={`Delete “${title}”`}
          onClick={() => setMode("delete")}
        >
          <Bin />
        </button>
      </span>
    </li>
  );
}

function Renaming({ row, close }: { row: ConversationRow; close: () => void }) {
  const done = useRef(false);
  const finish = (value: string | null) => {
    if (done.current) return;
    done.current = true;
    const title = value?.trim().slice(0, 200);
    if (title && title !== row.title) void rename(row.id, title);
    close();
  };
  return (
    <li class="row">
      <input
        class="rename"
        dir="auto"
        aria-label="New title"
        maxLength={200}
        defaultValue={row.title}
        ref={(input) => {
          if (!input || document.activeElement === input) return;
          input.focus();
          input.select();
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.isComposing) finish(event.currentTarget.value);
          if (event.key === "Escape") {
            event.stopPropagation();
            finish(null);
          }
        }}
        onBlur={(event) => finish(event.currentTarget.value)}
      />
    </li>
  );
}

function Deleting({ row, close }: { row: ConversationRow; close: () => void }) {
  const erase = async () => {
    const open = state.opened.value?.id === row.id;
    if ((await remove(row.id)) && open) newChat();
    else close();
  };
  return (
    <li
      class="row deleting"
      role="group"
      aria-label="Delete this chat?"
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        close();
      }}
    >
      <span class="title">Delete this chat for good?</span>
      <span class="acts" data-last>
        <button type="button" class="act" ref={(button) => button?.focus()} onClick={close}>
          Keep
        </button>
        <button type="button" class="act" onClick={() => void erase()}>
          Delete
        </button>
      </span>
    </li>
  );
}
