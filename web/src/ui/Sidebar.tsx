/** The contents of the book: new, search, and every chat by day. */

import { useRef, useState } from "preact/hooks";
import { byDay, snippetParts } from "../format";
import { loadRows, loadRowsSoon, remove, rename } from "../history";
import { addressOf, go, onLink } from "../router";
import * as state from "../state";
import { theme, toggleTheme } from "../theme";
import type { ConversationRow } from "../types";
import { focusComposer, touchScreen } from "./focus";
import { Bin, Close, Moon, Pencil, Plus, Sun } from "./icons";

export function newChat(): void {
  go(null);
  state.chosenModel.value = state.recall("model");
  if (!touchScreen()) focusComposer();
}

export function Sidebar() {
  return (
    <nav class="sidebar" id="sidebar" aria-label="Chats" data-open={state.drawerOpen.value || undefined}>
      <header>
        <a
          class="wordmark"
          href="/"
          onClick={(event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey) return;
            event.preventDefault();
            newChat();
          }}
        >
          ClearSeek
        </a>
        <button type="button" class="icon only-narrow" aria-label="Close the list" onClick={() => (state.drawerOpen.value = false)}>
          <Close />
        </button>
      </header>
      <button type="button" class="new" onClick={newChat} title="New chat (Ctrl+Shift+O)">
        <Plus /> New chat
      </button>
      <Search />
      <Rows />
      <footer>
        <PlaceLink kind="books" href="/books" name="Books" />
        <PlaceLink kind="audit" href="/audit" name="Audit" />
        <button type="button" class="icon" aria-label={theme.value === "dark" ? "Light theme" : "Dark theme"} onClick={toggleTheme}>
          {theme.value === "dark" ? <Sun /> : <Moon />}
        </button>
        <span class="quiet num" title="The version of ClearSeek">
          {state.server.value?.version}
        </span>
      </footer>
    </nav>
  );
}

function PlaceLink({ kind, href, name }: { kind: state.Place["kind"]; href: string; name: string }) {
  return (
    <a class="place" href={href} aria-current={state.place.value.kind === kind ? "page" : undefined} onClick={onLink}>
      {name}
    </a>
  );
}

function Search() {
  const onKeyDown = (event: KeyboardEvent) => {
    const links = document.querySelectorAll<HTMLElement>(".rows a");
    if (event.key === "Escape") {
      event.stopPropagation();
      if (state.query.value) {
        state.query.value = "";
        void loadRows();
      } else {
        state.drawerOpen.value = false;
        focusComposer();
      }
    } else if (event.key === "ArrowDown") {
      event.preventDefault();
      links[0]?.focus();
    } else if (event.key === "Enter" && state.query.value) {
      links[0]?.click();
    }
  };
  return (
    <label class="search">
      <span class="offscreen">Search the chats</span>
      <input
        id="search"
        type="search"
        dir="auto"
        placeholder="Search"
        autocomplete="off"
        maxLength={200}
        value={state.query.value}
        onInput={(event) => {
          state.query.value = event.currentTarget.value;
          loadRowsSoon(150);
        }}
        onKeyDown={onKeyDown}
      />
      <kbd aria-hidden="true">Ctrl K</kbd>
    </label>
  );
}

function Rows() {
  const rows = state.rows.value;
  const searching = state.query.value.trim() !== "";
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const links = [...document.querySelectorAll<HTMLElement>(".rows a")];
    const at = links.indexOf(document.activeElement as HTMLElement);
    if (at === -1) return;
    event.preventDefault();
    if (event.key === "ArrowUp" && at === 0) document.querySelector<HTMLElement>("#search")?.focus();
    else links[at + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
  };
  const groups: [string, ConversationRow[]][] = searching
    ? rows.length ? [["Found", rows]] : []
    : byDay(rows, (row) => row.updated_at * 1000, Date.now());
  return (
    <div class="rows" onKeyDown={onKeyDown}>
      {groups.map(([day, list]) => (
        <section key={day} aria-label={day}>
          <h2>{day}</h2>
          <ul>
            {list.map((row) => (
              <Row key={row.id} row={row} />
            ))}
          </ul>
        </section>
      ))}
      {rows.length === 0 && state.server.value && (
        <p class="quiet empty">{searching ? "Nothing found." : "Your chats will be listed here. They stay on this machine."}</p>
      )}
      {state.nextRows.value !== null && (
        <button type="button" class="act more" onClick={() => void loadRows(state.nextRows.value)}>
          Earlier chats
        </button>
      )}
    </div>
  );
}

function Row({ row }: { row: ConversationRow }) {
  const [mode, setMode] = useState<"" | "rename" | "delete">("");
  const current = state.place.value.kind === "chat" && state.opened.value?.id === row.id;
  if (mode === "rename") return <Renaming row={row} close={() => setMode("")} />;
  if (mode === "delete") return <Deleting row={row} close={() => setMode("")} />;
  const title = row.title || "Untitled";
  return (
    <li class="row" data-current={current || undefined}>
      <a
        href={addressOf(row.id)}
        aria-current={current ? "page" : undefined}
        title={title}
        onClick={onLink}
      >
        <span class="title" dir="auto">{title}</span>
        {row.snippet && (
          <span class="snippet" dir="auto">
            {snippetParts(row.snippet).map(({ text, hit }, index) => (hit ? <mark key={index}>{text}</mark> : text))}
          </span>
        )}
      </a>
      <span class="tools">
        <button type="button" class="icon" aria-label={`Rename “${title}”`} onClick={() => setMode("rename")}>
          <Pencil />
        </button>
        <button type="button" class="icon" aria-label={`Delete “${title}”`} onClick={() => setMode("delete")}>
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
